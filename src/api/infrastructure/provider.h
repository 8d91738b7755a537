// infrastructure/InfrastructureProvider and GlobalInfrastructureProvider (api-contract 2.11).
#pragma once

#include "meta/kind.h"

namespace krake {

// An Infrastructure Manager, reached with a token, or with a user and a password.
struct ImProvider {
  static constexpr std::string_view kTag = "im";
  std::string url;
  std::optional<std::string> username;
  std::optional<std::string> password;
  std::optional<std::string> token;
  Unknown unknown;

  static constexpr FieldMark kMarks[] = {{"url", kRequired}, {"password", kSecret}, {"token", kSecret}};
  static void check(const ImProvider& provider, FieldChecks& checks) {
    if (!checks.loaded("username") || !checks.loaded("password") || !checks.loaded("token")) return;
    if (!provider.token && !(provider.username && provider.password)) {  // empty texts count as given
      checks.schema_error("At least one authentication should be defined in the IM infrastructure provider spec.");
    }
  }
  friend bool operator==(const ImProvider&, const ImProvider&) = default;
};
BOOST_DESCRIBE_STRUCT(ImProvider, (), (url, username, password, token))

using InfrastructureProviderSpec = OneOf<ImProvider>;

struct InfrastructureProvider {
  static constexpr std::string_view kApi = "infrastructure", kKindName = "InfrastructureProvider",
                                    kPlural = "infrastructureproviders";
  static constexpr bool kNamespaced = true;
  ObjectMeta metadata;
  InfrastructureProviderSpec spec;
  Unknown unknown;

  static constexpr FieldMark kMarks[] = {{"metadata", kRequired}, {"spec", kRequired}};
  friend bool operator==(const InfrastructureProvider&, const InfrastructureProvider&) = default;
};
BOOST_DESCRIBE_STRUCT(InfrastructureProvider, (), (metadata, spec))
KRAKE_DECLARE_KIND(InfrastructureProvider)

struct GlobalInfrastructureProvider {
  static constexpr std::string_view kApi = "infrastructure", kKindName = "GlobalInfrastructureProvider",
                                    kPlural = "globalinfrastructureproviders";
  static constexpr bool kNamespaced = false;
  ObjectMeta metadata;
  InfrastructureProviderSpec spec;
  Unknown unknown;

  static constexpr FieldMark kMarks[] = {{"metadata", kRequired}, {"spec", kRequired}};
  friend bool operator==(const GlobalInfrastructureProvider&, const GlobalInfrastructureProvider&) = default;
};
BOOST_DESCRIBE_STRUCT(GlobalInfrastructureProvider, (), (metadata, spec))
KRAKE_DECLARE_KIND(GlobalInfrastructureProvider)

}  // namespace krake
