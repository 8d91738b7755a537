// openstack/Project (api-contract 2.12).
#pragma once

#include "api/core/metric.h"
#include "meta/kind.h"

namespace krake {

// Of Keystone, by id; a Cloud names its user and project by name.
struct ProjectUser {
  std::string id;
  std::string password;
  std::optional<std::string> comment;
  Unknown unknown;

  static constexpr FieldMark kMarks[] = {{"id", kRequired}, {"password", kRequired | kSecret}};
  friend bool operator==(const ProjectUser&, const ProjectUser&) = default;
};
BOOST_DESCRIBE_STRUCT(ProjectUser, (), (id, password, comment))

struct ProjectId {
  std::string id;
  std::optional<std::string> comment;
  Unknown unknown;

  static constexpr FieldMark kMarks[] = {{"id", kRequired}};
  friend bool operator==(const ProjectId&, const ProjectId&) = default;
};
BOOST_DESCRIBE_STRUCT(ProjectId, (), (id, comment))

struct ProjectPassword {
  static constexpr std::string_view kTag = "password";
  ProjectUser user;
  ProjectId project;
  Unknown unknown;

  static constexpr FieldMark kMarks[] = {{"user", kRequired}, {"project", kRequired}};
  friend bool operator==(const ProjectPassword&, const ProjectPassword&) = default;
};
BOOST_DESCRIBE_STRUCT(ProjectPassword, (), (user, project))

struct ApplicationCredential {
  static constexpr std::string_view kTag = "application_credential";
  std::string id;
  std::string secret;
  Unknown unknown;

  static constexpr FieldMark kMarks[] = {{"id", kRequired}, {"secret", kRequired | kSecret}};
  friend bool operator==(const ApplicationCredential&, const ApplicationCredential&) = default;
};
BOOST_DESCRIBE_STRUCT(ApplicationCredential, (), (id, secret))

using ProjectAuth = OneOf<ProjectPassword, ApplicationCredential>;

struct ProjectSpec {
  std::string url;
  ProjectAuth auth;
  std::string template_;
  std::vector<MetricRef> metrics;
  Unknown unknown;

  static constexpr FieldMark kMarks[] = {{"url", kRequired}, {"auth", kRequired}, {"template", kRequired}};
  friend bool operator==(const ProjectSpec&, const ProjectSpec&) = default;
};
BOOST_DESCRIBE_STRUCT(ProjectSpec, (), (url, auth, template_, metrics))

BOOST_DEFINE_ENUM_CLASS(ProjectState, ONLINE, FAILING_METRICS)

struct ProjectStatus {
  ProjectState state = ProjectState::ONLINE;
  StringMap<Reason> metrics_reasons;
  Unknown unknown;

  friend bool operator==(const ProjectStatus&, const ProjectStatus&) = default;
};
BOOST_DESCRIBE_STRUCT(ProjectStatus, (), (state, metrics_reasons))

struct Project {
  static constexpr std::string_view kApi = "openstack", kKindName = "Project", kPlural = "projects";
  static constexpr bool kNamespaced = true;
  ObjectMeta metadata;
  ProjectSpec spec;
  ProjectStatus status;
  Unknown unknown;

  static constexpr FieldMark kMarks[] = {
      {"metadata", kRequired}, {"spec", kRequired}, {"status", kRequired | kSubresource}};
  friend bool operator==(const Project&, const Project&) = default;
};
BOOST_DESCRIBE_STRUCT(Project, (), (metadata, spec, status))
KRAKE_DECLARE_KIND(Project)

}  // namespace krake
