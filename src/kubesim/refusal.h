// Answers other than success, in the words of a Kubernetes API server. Pure.
#pragma once

#include <expected>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "kubesim/kinds.h"
#include "net/http.h"

namespace krake::kubesim {

struct Cause {
  std::string reason;  // FieldValueRequired, FieldValueInvalid, ...
  std::string message;
  std::string field;  // spec.template.spec.containers[0].image
};

struct Refusal {
  int code = 500;
  std::string reason;  // NotFound, AlreadyExists, Conflict, Invalid, ...
  std::string message;
  json::Object details;
};

template <class T>
using Outcome = std::expected<T, Refusal>;
inline std::unexpected<Refusal> refuse(Refusal refusal) { return std::unexpected(std::move(refusal)); }

Refusal bad_request(std::string message);
Refusal unauthorized();
Refusal forbidden(const KindInfo& kind, std::string_view name, std::string message);
Refusal no_such_path();
Refusal not_found(const KindInfo& kind, std::string_view name);
Refusal method_not_allowed();
Refusal already_exists(const KindInfo& kind, std::string_view name);
Refusal conflict(const KindInfo& kind, std::string_view name, std::string message);
Refusal expired(std::string message);
Refusal invalid(const KindInfo& kind, std::string_view name, const std::vector<Cause>& causes);
Refusal unsupported_media_type(std::string message);

json::Object status_object(const Refusal& refusal);
ServerReply reply_json(int status, const json::Value& body);
ServerReply reply_text(int status, std::string text);
ServerReply reply_refusal(const Refusal& refusal);

}  // namespace krake::kubesim
