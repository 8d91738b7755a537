#include "api/registry.h"

#include <gtest/gtest.h>

#include "api/infrastructure/cloud.h"
#include "api/infrastructure/provider.h"
#include "api/openstack/project.h"
#include "base/random.h"

namespace krake {
namespace {

// A small valid spec of each kind, without its metadata.
json::Object sample(std::string_view kind) {
  static const std::map<std::string_view, std::string_view> kSamples{
      {"Application",
       R"({"spec":{"manifest":[{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"}}],"shutdown_retry_count":1,
           "constraints":{"cluster":{"labels":["a is b"],"metrics":["m > 1"]}}}})"},
      {"Cluster",
       R"({"spec":{"kubeconfig":{"current-context":"c","contexts":[{"name":"c","context":{"cluster":"k","user":"u"}}],
           "users":[{"name":"u","user":{"token":"t"}}],"clusters":[{"name":"k","cluster":{"server":"s"}}]},
           "metrics":[{"name":"m","weight":1}],"constraints":{"cloud":{"labels":["a is b"]}}}})"},
      {"Metric", R"({"spec":{"allowed_values":[1,2],"min":0,"max":1,"provider":{"name":"p","metric":"m"}}})"},
      {"MetricsProvider", R"({"spec":{"type":"static","static":{"metrics":{"m":1.5}}}})"},
      {"Role", R"({"rules":[{"api":"core","resources":["r"],"namespaces":["n"],"verbs":["get"]}]})"},
      {"RoleBinding", R"({"users":["u"],"roles":["r"]})"},
      {"Lease", R"({"spec":{"holder":"h"}})"},
      {"InfrastructureProvider",
       R"({"spec":{"type":"im","im":{"url":"u","username":"n","password":"p","token":"t"}}})"},
      {"Cloud",
       R"({"spec":{"type":"openstack","openstack":{"url":"u","auth":{"type":"password","password":{
           "user":{"username":"n","password":"p","comment":"c"},"project":{"name":"p","comment":"c"}}},
           "metrics":[{"name":"m","weight":1}],"infrastructure_provider":{"name":"im"}}}})"},
      {"Project",
       R"({"spec":{"url":"u","auth":{"type":"password","password":{"user":{"id":"i","password":"p"},
           "project":{"id":"i"}}},"template":"t","metrics":[{"name":"m","weight":1}]}})"},
      {"MagnumCluster",
       R"({"spec":{"master_count":1,"node_count":2,"metrics":[{"name":"m","weight":1}],
           "constraints":{"project":{"labels":["a is b"]}}}})"},
  };
  if (kind.starts_with("Global")) kind.remove_prefix(6);
  const auto found = kSamples.find(kind);
  EXPECT_NE(found, kSamples.end()) << "no sample of " << kind;
  auto value = json::parse(found == kSamples.end() ? "{}" : found->second);
  value->if_object()->set("metadata", *json::parse(R"({"name":"x","labels":{"a":"b"}})"));
  return *value->if_object();
}

std::unique_ptr<Object> decode(const Kind& kind, const json::Value& in, Form form) {
  FieldErrors errors;
  return kind.decode(kind, in, form, errors);
}
std::string encode(const Object& object) {
  std::string out;
  object.encode(out);
  return out;
}

// With every field there is, so that every field is changed.
json::Value full_document(const Kind& kind) {
  const auto object = decode(kind, sample(kind.name), Form::create);
  EXPECT_NE(object, nullptr) << kind.name;
  auto value = json::parse(encode(*object));
  EXPECT_TRUE(value) << kind.name;
  auto& metadata = *value->if_object()->find("metadata")->if_object();
  metadata.set("owners", *json::parse(R"([{"api":"core","kind":"Role","name":"r"}])"));
  return *value;
}

json::Value hostile_value(Random& random) {
  const std::string sign(random.below(2), '-');
  const std::string digits(json::kMaxNumberSize - 1 + random.below(4), '9');
  switch (random.below(12)) {
    case 0:
      return sign + digits;
    case 1:
      return json::Number{sign + digits.substr(0, json::kMaxNumberSize)};
    case 2:
      return json::Number{sign + "1e" + std::to_string(random.below(400))};
    case 3:
      return sign + "1e" + std::to_string(random.below(400));
    case 4:
      return json::Number{sign + "0"};
    case 5:
      return static_cast<std::int64_t>(random.next());
    case 6:
      return sign + "0_0" + std::to_string(random.below(9));
    case 7:
      return std::string("\0\x1f\x7f\"\\\n\xf0\x9f\x90\x99", 10);
    case 8:
      return random.chance(0.5) ? "0001-01-01T00:00:00+23:59" : "9999-12-31T23:59:59.9999999-23:59";
    case 9:
      return json::Object{{"a", json::Array{json::Object(), nullptr, true}}};
    case 10:
      return json::Array{sign + "1", json::Number{"1.5"}};
    default:
      return nullptr;
  }
}

// Puts a hostile value at a random place of `value`.
void disturb(json::Value& value, Random& random) {
  auto* object = value.if_object();
  auto* array = value.if_array();
  if (object && !object->empty() && random.chance(0.9)) {
    return disturb(object->begin()[static_cast<std::ptrdiff_t>(random.below(object->size()))].second, random);
  }
  if (array && !array->empty() && random.chance(0.9)) return disturb((*array)[random.below(array->size())], random);
  value = hostile_value(random);
}

TEST(Registry, WhatIsAcceptedCanBeStoredAndReadBack) {
  Random random(11);
  for (const auto& kind : krake_registry().kinds()) {
    const auto document = full_document(*kind);
    int accepted = 0;
    for (int i = 0; i < 2000; ++i) {
      auto body = document;
      for (auto n = 1 + random.below(3); n > 0; --n) disturb(body, random);
      for (const auto form : {Form::create, Form::full}) {
        const auto object = decode(*kind, body, form);
        if (!object) continue;
        ++accepted;
        const auto text = encode(*object);
        const auto stored = json::parse(text);
        ASSERT_TRUE(stored) << kind->name << ": " << stored.error().message << "\n" << text.substr(0, 2000);
        const auto read = decode(*kind, *stored, Form::stored);
        ASSERT_NE(read, nullptr) << kind->name << "\n" << text.substr(0, 2000);
        ASSERT_EQ(encode(*read), text);
        ASSERT_TRUE(read->equals(*object)) << kind->name << "\n" << text.substr(0, 2000);
      }
    }
    EXPECT_GT(accepted, 100) << kind->name;
  }
}

// The next time a server makes for the object is later than these, whatever its clock says.
TEST(Registry, BindingsCountAsServerMadeTimes) {
  const auto now = *parse_datetime("2026-03-01T09:30:00.123456+00:00");
  const auto ref = R"({"api":"a","kind":"K","name":"n"})";
  for (const auto& [name, field] : {std::pair{"Application", "cluster"}, std::pair{"Cluster", "cloud"}}) {
    const auto& kind = krake_registry().get("kubernetes", name);
    const auto object = decode(kind, full_document(kind), Form::full);
    ASSERT_NE(kind.newest_time, nullptr) << name;
    EXPECT_EQ(kind.newest_time(*object), std::nullopt) << name;
    const auto body = *json::parse(fmt::format(R"({{"{}":{}}})", field, ref));
    const auto binding = std::ranges::find(kind.subresources, "binding", &Subresource::name);
    ASSERT_NE(binding, kind.subresources.end()) << name;
    ASSERT_TRUE(binding->apply(*object, {.body = &body, .now = now})) << name;
    EXPECT_EQ(kind.newest_time(*object), now) << name;
  }
}

struct Refusal {
  std::string_view kind;
  std::string_view spec;
  std::string_view errors;
};
constexpr std::string_view kNoAuthentication =
    "{'spec': {'_schema': ['At least one authentication should be defined in the IM infrastructure provider spec.']}}";
constexpr std::string_view kNamespacedProvider =
    "{'_schema': ['A non-namespaced global cloud resource cannot reference the namespaced infrastructure provider "
    "resource.']}";
constexpr std::string_view kNamespacedMetric =
    "{'_schema': ['A non-namespaced global cloud resource cannot reference the namespaced metric resource.']}";

std::string cloud_spec(std::string_view more) {
  return fmt::format(R"({{"type":"openstack","openstack":{{"url":"u","auth":{{"type":"password","password":{{
      "user":{{"username":"n","password":"p"}},"project":{{"name":"p"}}}}}},{}}}}})",
                     more);
}

TEST(Registry, ChecksAcrossFields) {
  const auto both = cloud_spec(
      R"("infrastructure_provider":{"name":"im","namespaced":true},"metrics":[{"name":"m","weight":1,"namespaced":true}])");
  const auto metric = cloud_spec(
      R"("infrastructure_provider":{"name":"im"},"metrics":[{"name":"l","weight":1},{"name":"m","weight":1,"namespaced":true}])");
  const Refusal cases[] = {
      {"InfrastructureProvider", R"({"type":"im","im":{"url":"u"}})", kNoAuthentication},
      {"InfrastructureProvider", R"({"type":"im","im":{"url":"u","username":"n"}})", kNoAuthentication},
      {"GlobalInfrastructureProvider", R"({"type":"im","im":{"url":"u","password":"p"}})", kNoAuthentication},
      {"InfrastructureProvider", R"({"type":"im","im":{"url":"u","username":"","password":""}})", ""},
      {"InfrastructureProvider", R"({"type":"im","im":{"url":"u","token":""}})", ""},
      {"InfrastructureProvider", R"({"type":"im","im":{"url":"u","token":1}})",
       "{'spec': {'token': ['Not a valid string.']}}"},
      {"GlobalCloud", both, kNamespacedProvider},
      {"GlobalCloud", metric, kNamespacedMetric},
      {"Cloud", both, ""},
      {"Cloud", metric, ""},
  };
  for (const auto& [name, spec, wanted] : cases) {
    const auto kind = std::ranges::find(krake_registry().kinds(), name, [](const auto& k) { return k->name; });
    const json::Value body = json::Object{{"metadata", json::Object{{"name", "x"}}}, {"spec", *json::parse(spec)}};
    FieldErrors errors;
    const auto object = (*kind)->decode(**kind, body, Form::create, errors);
    EXPECT_EQ(object != nullptr, wanted.empty()) << name << spec;
    errors.prune();
    EXPECT_EQ(object ? "" : errors.render(), wanted) << name << spec;
    // What was stored by somebody who did not check is served.
    if (object) continue;
    auto document = full_document(**kind);
    document.if_object()->set("spec", *json::parse(spec));
    EXPECT_EQ(decode(**kind, document, Form::stored) != nullptr, !errors.render().contains("Not a valid")) << spec;
  }
}

TEST(Registry, ImmutableFieldsOfAMagnumCluster) {
  const auto& kind = krake_registry().get("openstack", "MagnumCluster");
  const auto stored = decode(kind, full_document(kind), Form::stored);
  auto document = full_document(kind);
  json::merge_patch(document, *json::parse(R"({"spec":{"node_count":9}})"));
  EXPECT_EQ(decode(kind, document, Form::full)->changed_immutable(*stored), "");
  json::merge_patch(document, *json::parse(R"({"spec":{"master_count":null}})"));
  EXPECT_EQ(decode(kind, document, Form::full)->changed_immutable(*stored), "master_count");
  json::merge_patch(document, *json::parse(R"({"metadata":{"namespace":"other"}})"));
  EXPECT_EQ(decode(kind, document, Form::full)->changed_immutable(*stored), "namespace");

  // A status may not change the template, the binding may.
  auto bound = stored->clone();
  const auto body = *json::parse(R"({"project":{"api":"openstack","kind":"Project","name":"p"},"template":"t"})");
  const auto& binding = kind.subresources.front();
  EXPECT_TRUE(binding.load_first);
  for (int i = 0; i < 2; ++i) ASSERT_TRUE(binding.apply(*bound, {.body = &body, .now = {}}));
  EXPECT_EQ(bound->meta().owners.size(), stored->meta().owners.size() + 1) << "once";
  EXPECT_EQ(stored->changed_immutable_status(*bound), "template");
  auto other = bound->clone();
  const auto again = *json::parse(R"({"project":{"api":"openstack","kind":"Project","name":"q"},"template":"u"})");
  ASSERT_TRUE(binding.apply(*other, {.body = &again, .now = {}}));
  EXPECT_EQ(other->changed_immutable_status(*bound), "template");
  EXPECT_TRUE(encode(*other).contains(R"("template":"u")")) << encode(*other);
  EXPECT_EQ(other->meta().owners.size(), stored->meta().owners.size() + 2) << "earlier owners stay";
}

TEST(Registry, NewCloudsAndProjectsAreOnline) {
  for (const auto& [group, name, state] :
       {std::tuple{"infrastructure", "Cloud", "ONLINE"}, std::tuple{"infrastructure", "GlobalCloud", "ONLINE"},
        std::tuple{"openstack", "Project", "ONLINE"}, std::tuple{"openstack", "MagnumCluster", "PENDING"}}) {
    const auto& kind = krake_registry().get(group, name);
    const auto object = decode(kind, full_document(kind), Form::stored);
    object->reset_status();
    EXPECT_EQ(kind.state(*object), state) << name;
  }
}

// No password, token or secret is printed for people's eyes: one planted in each such field is not found.
TEST(Registry, SecretsAreMarked) {
  const auto masked_of = []<class T>(const T*, std::string_view kind_name, std::string_view spec) {
    const auto& kind = krake_registry().of<T>();
    EXPECT_EQ(kind.name, kind_name);
    const json::Value body = json::Object{{"metadata", json::Object{{"name", "x"}}}, {"spec", *json::parse(spec)}};
    const auto object = decode(kind, body, Form::create);
    EXPECT_NE(object, nullptr) << spec;
    return object ? encode_masked(object->template as<T>()) : std::string("planted");
  };
  const std::string texts[] = {
      masked_of(static_cast<InfrastructureProvider*>(nullptr), "InfrastructureProvider",
                R"({"type":"im","im":{"url":"u","username":"n","password":"planted","token":"planted"}})"),
      masked_of(static_cast<Cloud*>(nullptr), "Cloud",
                R"({"type":"openstack","openstack":{"url":"u","auth":{"type":"password","password":{
                    "user":{"username":"n","password":"planted"},"project":{"name":"p"}}},
                    "infrastructure_provider":{"name":"im"}}})"),
      masked_of(static_cast<Project*>(nullptr), "Project",
                R"({"url":"u","template":"t","auth":{"type":"password","password":{
                    "user":{"id":"i","password":"planted"},"project":{"id":"i"}}}})"),
      masked_of(static_cast<Project*>(nullptr), "Project",
                R"({"url":"u","template":"t","auth":{"type":"application_credential","application_credential":{
                    "id":"i","secret":"planted"}}})"),
  };
  for (const auto& text : texts) {
    EXPECT_FALSE(text.contains("planted")) << text;
    EXPECT_TRUE(text.contains(kMask)) << text;
  }
}

// Where unknown keys are kept.
std::vector<std::vector<std::string>> places(std::string_view kind) {
  static const std::map<std::string_view, std::vector<std::vector<std::string>>> kPlaces{
      {"Application",
       {{"spec"},
        {"spec", "constraints"},
        {"spec", "constraints", "cluster"},
        {"status"},
        {"status", "reason"},
        {"status", "container_health"}}},
      {"Cluster",
       {{"spec"}, {"spec", "constraints"}, {"spec", "constraints", "cloud"}, {"status"}, {"status", "reason"}}},
      {"Metric", {{"spec"}, {"spec", "provider"}}},
      {"MetricsProvider", {{"spec", "static"}}},
      {"Lease", {{"spec"}}},
      {"InfrastructureProvider", {{"spec", "im"}}},
      {"Cloud",
       {{"spec", "openstack"},
        {"spec", "openstack", "auth", "password"},
        {"spec", "openstack", "auth", "password", "user"},
        {"spec", "openstack", "auth", "password", "project"},
        {"spec", "openstack", "infrastructure_provider"},
        {"status"}}},
      {"Project",
       {{"spec"},
        {"spec", "auth", "password"},
        {"spec", "auth", "password", "user"},
        {"spec", "auth", "password", "project"},
        {"status"}}},
      {"MagnumCluster",
       {{"spec"}, {"spec", "constraints"}, {"spec", "constraints", "project"}, {"status"}, {"status", "reason"}}},
  };
  if (kind.starts_with("Global")) kind.remove_prefix(6);
  std::vector<std::vector<std::string>> all{{}, {"metadata"}};
  if (const auto found = kPlaces.find(kind); found != kPlaces.end())
    std::ranges::copy(found->second, std::back_inserter(all));
  return all;
}

json::Value with_unknown_keys(const Kind& kind, json::Value document) {
  for (const auto& path : places(kind.name)) {
    auto* here = &document;
    for (const auto& key : path) here = here->if_object()->find(key);
    here->if_object()->set("later", *json::parse(R"({"a":[1]})"));
  }
  return document;
}

json::Value document_with_reason(const Kind& kind) {
  auto document = full_document(kind);
  auto* status = document.if_object()->find("status");
  if (status && status->if_object()->contains("reason")) {
    status->if_object()->set("reason", *json::parse(R"({"code":"NOT_FOUND","message":"m"})"));
  }
  return document;
}

TEST(W30, UnknownKeysSurviveEveryWrite) {
  for (const auto& kind : krake_registry().kinds()) {
    const auto document = document_with_reason(*kind);
    const auto stored = decode(*kind, with_unknown_keys(*kind, document), Form::stored);
    ASSERT_NE(stored, nullptr) << kind->name;
    const auto text = encode(*stored);
    const auto body = decode(*kind, document, Form::full);
    ASSERT_NE(body, nullptr) << kind->name;
    EXPECT_NE(encode(*body), text) << kind->name;
    EXPECT_TRUE(body->equals(*stored)) << kind->name << ": they are no change";
    // PUT, and PATCH, whose result is decoded as a body.
    body->keep_stored(*stored);
    EXPECT_EQ(encode(*body), text) << kind->name;
    auto written = stored->clone();
    written->take_status(*decode(*kind, document, Form::full));
    EXPECT_EQ(encode(*written), text) << kind->name;
  }
}

// Some members of the status, as they are or not, or gone, or others of the same name.
json::Object status_change(const json::Object& status, Random& random) {
  json::Object change;
  for (const auto& [name, value] : status) {
    if (!random.chance(0.3)) continue;
    change.set(name, value);
    auto& member = *change.find(name);
    if (random.chance(0.3)) member = nullptr;
    if (random.chance(0.4)) disturb(member, random);
  }
  if (random.chance(0.2)) change.set("later", random.chance(0.5) ? json::Value(7) : json::Value());
  return change;
}

// A patch of a status costs what it names, and means what the whole status means that it makes.
TEST(Registry, MergingAStatusIsReadingTheMergedOne) {
  Random random(12);
  for (const auto& kind : krake_registry().kinds()) {
    const auto document = with_unknown_keys(*kind, document_with_reason(*kind));
    const auto stored = decode(*kind, document, Form::stored);
    ASSERT_NE(stored, nullptr) << kind->name;
    const auto* status = document.if_object()->find("status");
    if (!status) continue;
    int accepted = 0;
    for (int i = 0; i < 2000; ++i) {
      const auto change = status_change(*status->if_object(), random);
      std::string present;
      stored->encode_status(present);
      auto whole = *json::parse(present, json::kMaxDepth, json::Numbers::any);
      json::merge_patch(whole, json::Object{{"status", change}});
      FieldErrors of_whole;
      FieldErrors of_merged;
      auto read = stored->clone();
      auto merged = stored->clone();
      const bool good = read->read_status(whole, of_whole);
      ASSERT_EQ(merged->merge_status(change, of_merged), good) << kind->name << json::print(change);
      ASSERT_EQ(of_merged.render(), of_whole.render()) << kind->name << json::print(change);
      if (!good) continue;
      ++accepted;
      ASSERT_EQ(encode(*merged), encode(*read)) << kind->name << json::print(change);
    }
    EXPECT_GT(accepted, 100) << kind->name;
  }
}

// Upstream's last release has no such field: its clients create metrics without it, and its garbage collector writes
// them back without it.
TEST(Registry, AMetricNeedsNoAllowedValues) {
  const auto& kind = krake_registry().get("core", "Metric");
  auto document = full_document(kind);
  document.if_object()->find("spec")->if_object()->erase("allowed_values");
  for (const auto form : {Form::create, Form::full, Form::stored}) {
    const auto object = decode(kind, document, form);
    ASSERT_NE(object, nullptr);
    EXPECT_NE(encode(*object).find(R"("allowed_values":[])"), std::string::npos) << encode(*object);
  }
}

// The server splices it into what it answers, so a stored one would be there twice.
TEST(Registry, AStoredResourceVersionIsNotKept) {
  for (const auto& kind : krake_registry().kinds()) {
    const auto document = full_document(*kind);
    auto versioned = document;
    versioned.if_object()->find("metadata")->if_object()->set("resource_version", "7");
    const auto stored = decode(*kind, versioned, Form::stored);
    ASSERT_NE(stored, nullptr) << kind->name;
    EXPECT_EQ(encode(*stored), encode(*decode(*kind, document, Form::stored))) << kind->name;
  }
}

TEST(Registry, UnknownKeysGoWithTheirStruct) {
  const auto& kind = krake_registry().get("core", "MetricsProvider");
  const auto stored = decode(kind, with_unknown_keys(kind, full_document(kind)), Form::stored);
  auto document = full_document(kind);
  document.if_object()->set("spec", *json::parse(R"({"type":"prometheus","prometheus":{"url":"u"}})"));
  const auto body = decode(kind, document, Form::full);
  body->keep_stored(*stored);
  EXPECT_TRUE(encode(*body).contains(R"("prometheus":{"url":"u"}})")) << encode(*body);
}

}  // namespace
}  // namespace krake
