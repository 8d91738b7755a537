// How each type of metrics provider is asked for one value, and how its answer reads (control-plane-contract 4.4).
// Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "api/core/metric.h"
#include "net/http.h"

namespace krake::scheduler {

// Where to ask; empty for a static provider, which is its own answer.
std::string_view url_of(const MetricsProviderSpec& provider);

// The request for `metric`, relative to the provider's URL. Not for static providers.
HttpRequest request_for(const MetricsProviderSpec& provider, std::string_view metric);

// The value in the answer to request_for(). Errors: unavailable when the provider does not serve it (HTTP status, not
// its format), not_found when it has no such value (now: a scrape may have been missed), invalid_object when the value
// is no number.
Result<double> value_in(const MetricsProviderSpec& provider, std::string_view metric, const HttpResponse& response);

// Of a static provider. Errors: invalid_object when it has no such metric.
Result<double> static_value(const StaticProvider& provider, std::string_view metric);

}  // namespace krake::scheduler
