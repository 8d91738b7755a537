// Strict roles (W22): nobody gives away, to himself or to others, what he does not have. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "access/rbac.h"
#include "api/core/role.h"

namespace krake::server {

// The rules of a role, as the index takes them.
std::vector<access::Rule> rules_of(const Role& role);

// Whether `user` may store `wanted` where `stored` is (null: nothing). A role whose rules change must give nothing he
// does not hold; nor must a binding that gets another user or role, and its roles must exist, for nobody knows what one
// made later will give. Other kinds give nothing. Code::forbidden, with what is missing.
Status check_grant(const access::RbacIndex& index, std::string_view user, const Object* stored, const Object& wanted);

// Roles a binding names that do not exist; none for other kinds.
std::vector<std::string> missing_roles(const access::RbacIndex& index, const Object& object);

// Finalizers of `stored` that `wanted` lacks and that are not for `user`, who has `roles`, to take away (W15). Each is
// its controller's, which takes it away when it has cleaned up; one that Krake does not know is that of the user it is
// named after (USER, USER/ANYTHING). Before a deletion `cascade_deletion` is nobody's: DELETE puts it there anyway.
std::vector<std::string> foreign_finalizers(std::string_view user, const std::vector<std::string>& roles,
                                            const ObjectMeta& stored, const ObjectMeta& wanted);

}  // namespace krake::server
