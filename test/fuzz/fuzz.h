// What is run over arbitrary bytes: one target for each parser, with what must hold whatever the bytes are. Beside that
// the sanitizers watch. A target has no state, so that one input says all about a failure.
#pragma once

#include <array>
#include <span>
#include <string>
#include <string_view>

namespace krake::fuzz {

struct Target {
  std::string_view name;  // and the folder of its inputs in test/fuzz/corpus
  void (*run)(std::string_view bytes);
};
std::span<const Target> targets();
const Target* find_target(std::string_view name);

// Says what was broken, with what, and aborts.
[[noreturn]] void broken(const char* file, int line, const char* condition, std::string_view detail = {});

// The first N parts of `bytes`, each ended by `separator`; the last one has all the rest.
template <std::size_t N>
std::array<std::string_view, N> split(std::string_view bytes, char separator) {
  std::array<std::string_view, N> parts;
  for (std::size_t i = 0; i + 1 < N; ++i) {
    const auto end = bytes.find(separator);
    parts[i] = bytes.substr(0, end);
    bytes.remove_prefix(end == std::string_view::npos ? bytes.size() : end + 1);
  }
  parts[N - 1] = bytes;
  return parts;
}

void json(std::string_view bytes);          // text of JSON
void codec(std::string_view bytes);         // GROUP/PLURAL, line feed, JSON: objects of every kind
void merge_patch(std::string_view bytes);   // target and patch, a line each
void json_patch(std::string_view bytes);    // document and operations, a line each
void manifests(std::string_view bytes);     // desired and live object and a schema entry, a line each
void validators(std::string_view bytes);    // the free-form JSON in specs: manifest and observer schema, TOSCA, CSAR
void kubeconfig(std::string_view bytes);    // a kubeconfig in YAML or JSON
void yaml(std::string_view bytes);          // YAML
void config(std::string_view bytes);        // configuration files, and flags after a line "---flags"
void bootstrap(std::string_view bytes);     // files of objects in YAML, the next after a line "---file"
void constraints(std::string_view bytes);   // label and metric constraints
void selectors(std::string_view bytes);     // label and field selectors of Kubernetes
void datetime(std::string_view bytes);      // a datetime
void quantity(std::string_view bytes);      // two quantities, a line each
void url(std::string_view bytes);           // URLs, percent encoding, query strings, base64
void route(std::string_view bytes);         // METHOD, blank, target
void http_message(std::string_view bytes);  // requests and responses on the wire
void http_server(std::string_view bytes);   // a connection to the API server: what a client sends, as bytes
void audit(std::string_view bytes);         // a user, line feed, what the audit log is told of a request
void list_token(std::string_view bytes);    // what names the next page of a list
void watch(std::string_view bytes);         // a stream of watch events, as the client reads it
void backup(std::string_view bytes);        // a backup file
void tokens(std::string_view bytes);        // a signed token, line feed, keys as a JWK set or PEM
void identity(std::string_view bytes);      // a token, line feed, what an identity service answers

}  // namespace krake::fuzz

#define MUST(condition, ...) \
  ((condition) ? void(0) : ::krake::fuzz::broken(__FILE__, __LINE__, #condition __VA_OPT__(, ) __VA_ARGS__))
