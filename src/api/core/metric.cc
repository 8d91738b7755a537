#include "api/core/metric.h"

#include <fmt/format.h>

namespace krake {

namespace {
// scheme://host...; what a metrics provider is asked by.
bool looks_like_url(std::string_view url) {
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (url.starts_with(scheme) && url.size() > scheme.size() && url[scheme.size()] != '/') return true;
  }
  return false;
}
}  // namespace

void advise_metric(const MetricSpec& spec, std::vector<std::string>& advice) {
  if (spec.min > spec.max)
    advice.push_back(fmt::format("spec.min: {} is more than spec.max, {}: no value is accepted", spec.min, spec.max));
}

void advise_provider(const MetricsProviderSpec& spec, std::vector<std::string>& advice) {
  std::visit(
      [&](const auto& provider) {
        if constexpr (requires { provider.url; }) {
          if (!looks_like_url(provider.url))
            advice.emplace_back("spec.url: it does not begin with http:// or https:// and a host");
        }
      },
      spec.value);
}

}  // namespace krake
