// The alphabet of names and labels (api-contract 2.4.1, 2.4.2). Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace krake {

// The same as regular expressions.
inline constexpr std::string_view kNamePattern = "^[a-zA-Z0-9_]([a-zA-Z0-9_.:-]{0,253}[a-zA-Z0-9_])?$";
inline constexpr std::string_view kLabelKeyPattern =
    "^([a-zA-Z0-9_]([a-zA-Z0-9_.-]{0,251}[a-zA-Z0-9_])?/)?[a-zA-Z0-9_]([a-zA-Z0-9_.-]{0,61}[a-zA-Z0-9_])?$";
inline constexpr std::string_view kLabelValuePattern = "^[a-zA-Z0-9_]([a-zA-Z0-9_.-]{0,61}[a-zA-Z0-9_])?$";

// Names and namespaces: 1-255 of [A-Za-z0-9_.:-], first and last of [A-Za-z0-9_].
bool valid_resource_name(std::string_view name);
// The message when it is not one.
std::optional<std::string> check_label_key(std::string_view key);
std::optional<std::string> check_label_value(std::string_view value);

}  // namespace krake
