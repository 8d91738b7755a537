// Counters, gauges and histograms of one process (or of one simulated process), over prometheus-cpp.
// Label values must come from small closed sets. Thread: any.
#pragma once

#include <initializer_list>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace prometheus {
class Counter;
class Gauge;
class Histogram;
class Registry;
}  // namespace prometheus

namespace krake {

using MetricLabels = std::map<std::string, std::string>;

// Handles stay valid as long as the Metrics they come from. Asking twice gives the same time series.
class Metrics {
 public:
  Metrics();
  ~Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  prometheus::Counter& counter(const std::string& name, const std::string& help, const MetricLabels& labels = {});
  prometheus::Gauge& gauge(const std::string& name, const std::string& help, const MetricLabels& labels = {});
  // Seconds, from 0.1 ms to 100 s.
  prometheus::Histogram& histogram(const std::string& name, const std::string& help, const MetricLabels& labels = {});
  // Prometheus text exposition format, version 0.0.4.
  std::string text() const;

 private:
  std::unique_ptr<prometheus::Registry> registry_;
};

}  // namespace krake
