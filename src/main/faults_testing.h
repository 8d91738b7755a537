// For tests: system calls that fail.
#pragma once

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <iterator>

namespace krake::testing {

// A system call of which those fail whose argument of that number is `value`.
struct Fault {
  unsigned call;
  unsigned argument;
  unsigned value;
  int error;
};
// For good, in this process. False when that cannot be had. May be called by a signal handler.
inline bool install(const Fault& fault) {
  const auto argument = static_cast<unsigned>(offsetof(seccomp_data, args) + fault.argument * sizeof(std::uint64_t));
  sock_filter steps[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
                         BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, fault.call, 0, 3),
                         BPF_STMT(BPF_LD | BPF_W | BPF_ABS, argument),
                         BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, fault.value, 0, 1),
                         BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<unsigned>(fault.error)),
                         BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
  const sock_fprog program{.len = static_cast<unsigned short>(std::size(steps)), .filter = steps};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && ::prctl(PR_SET_SECCOMP, 2, &program) == 0;
}
// Whether it holds in a child process.
inline bool holds_in_child(const std::function<bool()>& check) {
  const auto child = ::fork();
  if (child == 0) ::_exit(check() ? 0 : 1);
  int ended = 1;
  return child > 0 && ::waitpid(child, &ended, 0) == child && ended == 0;
}
// The same with this fault; false, too, when that cannot be had.
inline bool holds_with(const Fault& fault, const std::function<bool()>& check) {
  return holds_in_child([&] { return install(fault) && check(); });
}
// What the next open() gives.
inline unsigned next_fd() {
  const int fd = ::dup(0);
  ::close(fd);
  return static_cast<unsigned>(fd);
}
inline bool has_faults() {
  return holds_with({.call = SYS_getppid, .argument = 0, .value = 0, .error = 0}, [] { return true; });
}

}  // namespace krake::testing
