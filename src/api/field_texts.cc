#include "api/field_texts.h"

namespace krake {

namespace {

constexpr FieldText kCommon[] = {
    {"ObjectMeta", "",
     "What every object has: its name, its labels, who depends on it, and what the server keeps of it."},
    {"ObjectMeta", "resource_version", "The revision of the store at which the object was last written."},
    {"ObjectMeta", "name", "The name, which is one of its kind in its namespace. It cannot be changed."},
    {"ObjectMeta", "namespace",
     "The namespace, null for kinds that have none. The path decides: what the body of a POST says is passed over."},
    {"ObjectMeta", "labels", "What constraints and selections go by, like `location: DE`."},
    {"ObjectMeta", "inherit_labels", "Whether a cluster also has the labels of the cloud it was made on."},
    {"ObjectMeta", "finalizers",
     "What still has to be done before the object may go, the last one first. While one is left, a DELETE only marks "
     "it."},
    {"ObjectMeta", "uid", "Tells objects of one name apart that existed at different times."},
    {"ObjectMeta", "created", "When it was created."},
    {"ObjectMeta", "modified", "When its owner last changed it. Status, bindings and a DELETE do not count."},
    {"ObjectMeta", "deleted", "When its deletion was asked for; null unless it is in deletion."},
    {"ObjectMeta", "owners", "What it depends on: it is deleted with any of these."},

    {"ResourceRef", "", "Names another object."},
    {"ResourceRef", "api", "The API group, like `kubernetes`."},
    {"ResourceRef", "namespace", "The namespace, null for kinds that have none."},
    {"ResourceRef", "kind", "The kind, like `Cluster`."},
    {"ResourceRef", "name", "The name."},

    {"Reason", "", "Why something is not as it should be."},
    {"Reason", "code", "The class of the trouble, for programs."},
    {"Reason", "message", "What happened, for people."},
};

}  // namespace

std::span<const FieldText> common_texts() { return kCommon; }

const FieldTexts& field_texts() {
  static const FieldTexts texts{common_texts(), core_texts(), kubernetes_texts(), infrastructure_texts(),
                                openstack_texts()};
  return texts;
}

}  // namespace krake
