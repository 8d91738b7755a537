// What the user does with krakectl instead of the API: changes applications, looks at what there is. Exit status and
// output are all he knows; they go to the model as answers of the API do, and what was printed must have been true.
#pragma once

#include <string>
#include <vector>

#include "sim/checks.h"
#include "sim/scenario.h"
#include "sim/shell.h"

namespace krake::sim {

class CommandUser {
 public:
  // All outlive it.
  CommandUser(const Surroundings& world, std::vector<std::string> servers, Checks& checks, Model& model,
              Reached& reached, Trace& trace, const Scenario& scenario)
      : shell_(world, std::move(servers), reached),
        checks_(checks),
        model_(model),
        reached_(reached),
        trace_(trace),
        scenario_(scenario),
        random_(world.env.random.fork("command user")) {}

  // Manifest and constraints are used, what krakectl has no option for must be as it is by default.
  void create(const std::string& app, ApplicationSpec spec);
  void update(const std::string& app, ApplicationSpec spec);
  void remove(const std::string& app, bool force);
  // At applications, one or all, or leases.
  void look();
  // As of Shell.
  void sent(const std::string& server) { shell_.sent(server); }

 private:
  struct Plan {
    std::string what;  // for the trace
    CommandLine line;
    int requests = 1;  // at most, each with its timeout
    bool waits = false;
  };
  void wait_perhaps(Plan& plan);
  Ran run(const Plan& plan);
  // One change, which the model has been told of.
  Ran change(const Plan& plan);
  void check_changed(const Plan& plan, const Ran& ran, const std::string& app, const ApplicationSpec& spec);
  void list_applications();
  void get_application(const std::string& app);
  void list_leases();
  void wrong(const Plan& plan, const Ran& ran, std::string_view how);

  Shell shell_;
  Checks& checks_;
  Model& model_;
  Reached& reached_;
  Trace& trace_;
  const Scenario& scenario_;
  Random random_;
};

}  // namespace krake::sim
