// Pieces of bodies made from options, shared by the commands.
#pragma once

#include "cli/session.h"

namespace krake::cli {

// --label KEY=VALUE, in order; a later duplicate wins.
Outcome<json::Object> labels_of(const Parsed& args);
// Merged into metadata.labels; `clear` empties them first.
void merge_labels(json::Value& object, const json::Object& labels, bool clear);
// --metric and --global-metric as references.
json::Array metric_refs_of(const Parsed& args);
json::Array texts(const std::vector<std::string>& words);
// --cluster-metric-constraint and the like, in the words the API knows ("less than" -> "lesser than").
std::vector<std::string> metric_constraints_of(const Parsed& args, std::string_view option);
// What to tell when the API refuses a constraint of `body`: its words alone do not say which one.
std::optional<Failure> wrong_constraint(const json::Value& body);
// Adds those that are not there.
void append_new(json::Value& list, const std::vector<std::string>& words);
// Sets backoff, backoff_delay, backoff_limit where given; `defaults`: all of them.
void set_backoff(json::Value& spec, const Parsed& args, bool defaults);
// An integer where the text is one; else the text, for the API to refuse.
json::Value integer_or_text(const std::string& text);
json::Value number_of(const std::string& text);
json::Value& child(json::Value& object, std::initializer_list<std::string_view> path);

}  // namespace krake::cli
