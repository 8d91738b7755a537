// What `krake pki renew` does, decided from what was read, before anything is written. Pure but for the keys it makes.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "main/files.h"
#include "net/pki.h"

namespace krake {

// A certificate and its key as read_file() found them.
struct CertificateFiles {
  std::string cert_path;
  std::string key_path;
  Result<std::string> cert_pem;
  Result<std::string> key_pem;  // not_found: there is none in its place
  std::string target = {};      // the file that cert_path leads to when it is a symbolic link; else empty
  std::string cert_file = {};   // the files behind all links; empty when there is none
  std::string key_file = {};
  std::vector<std::string> left_keys = {};  // what left_parts() of a wrong key file hold: the old key may be among them
  std::string unfit_key_file = {};          // why no new key may be put into the key file; empty when it may
  std::string fixed_cert_file = {};         // why_not_replaced() of cert_file and of key_file
  std::string fixed_key_file = {};
  friend bool operator==(const CertificateFiles&, const CertificateFiles&) = default;
};

struct SigningAuthority {
  std::string path;  // of its certificate
  CertificateAndKey pem;
};

struct RenewalPlan {
  std::vector<NewFile> files;         // in the order in which they take their places
  std::vector<std::string> notes;     // what is left as it is, what ends early
  std::vector<std::string> problems;  // with one there are no files
};

// `named`: each of `all` is to be renewed or has a problem. Else, of all that is there, what `ca` signed is to be, and
// of the others the renewed authorities in them; what cannot be renewed alone is left then: a pair with a problem of
// its own, unless that is a file that cannot be read, and an authority without a key. `beside`: what else there is,
// with the pair that signs; no key of it may be lost, and it stays as it is, but for copies of renewed certificates,
// which have no key of their own and are renewed with them, and, when they are named, for renewed authorities. The file
// of a key that is replaced holds one key, that of its certificate, and nothing else; or an interruption has left that
// key beside it.
RenewalPlan plan_renewal(const SigningAuthority& ca, std::span<const CertificateFiles> all,
                         std::span<const CertificateFiles> beside, bool named, Wall now);

}  // namespace krake
