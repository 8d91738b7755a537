// Bytes that were received and not parsed yet.
#pragma once

#include <boost/asio/buffer.hpp>
#include <cstring>
#include <string>
#include <string_view>

namespace krake {

class InputBuffer {
 public:
  std::string_view bytes() const { return std::string_view(storage_).substr(begin_, end_ - begin_); }
  std::size_t size() const { return end_ - begin_; }
  bool empty() const { return begin_ == end_; }
  void clear() { begin_ = end_ = 0; }

  // What `rest`, a suffix of bytes(), leaves out is consumed.
  void keep(std::string_view rest) {
    begin_ = end_ - rest.size();
    if (begin_ == end_) clear();
  }
  // Room for at least `wanted` more bytes. Invalidates bytes().
  boost::asio::mutable_buffer prepare(std::size_t wanted) {
    if (storage_.size() - end_ < wanted) {
      storage_.erase(0, begin_);
      end_ -= begin_;
      begin_ = 0;
      if (storage_.size() - end_ < wanted) storage_.resize(end_ + wanted);
    }
    return {storage_.data() + end_, storage_.size() - end_};
  }
  void commit(std::size_t n) { end_ += n; }
  void append(std::string_view more) {
    std::memcpy(prepare(more.size()).data(), more.data(), more.size());
    commit(more.size());
  }
  // Gives memory back while there is nothing in it.
  void shrink(std::size_t above) {
    if (empty() && storage_.capacity() > above) storage_ = {};
  }

 private:
  std::string storage_;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
};

}  // namespace krake
