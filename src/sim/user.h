// The user and everybody else who acts from outside: writes to the API and tells the model, changes clusters behind
// Krake's back. Every write is waited for; what its answer says goes to the model.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/env.h"
#include "client/client.h"
#include "sim/checks.h"
#include "sim/command_user.h"
#include "sim/loop.h"
#include "sim/scenario.h"

namespace krake::sim {

class User {
 public:
  // All outlive it.
  User(Env& env, Conductor& conductor, Client& client, CommandUser& krakectl, Clusters& clusters, Checks& checks,
       Model& model, Reached& reached, Trace& trace, const Scenario& scenario)
      : env_(env),
        conductor_(conductor),
        client_(client),
        krakectl_(krakectl),
        clusters_(clusters),
        checks_(checks),
        model_(model),
        reached_(reached),
        trace_(trace),
        scenario_(scenario),
        random_(env.random.fork("user")) {}

  // Before anything misbehaves.
  void introduce();
  // One write of some kind to an application, or the like.
  void act();
  // Everything as it is to be in the end: all clusters registered, every constraint satisfiable, metrics healthy. False
  // when that could not be had within `limit`; why() says what was missing.
  bool put_right(Duration limit);
  const std::string& why() const { return why_; }

 private:
  template <class T>
  std::optional<Result<T>> ask(Awaitable<Result<T>> question) {
    return conductor_.wait(env_.executor, std::move(question));
  }
  // Tells the model and the trace.
  template <class T>
  Fate learn(const std::string& what, const std::optional<Result<T>>& answer);
  template <class T>
  bool note(const std::string& what, const std::optional<Result<T>>& answer);

  void create_application();
  void update(const std::string& what, const std::function<void(ApplicationSpec&, const std::string&)>& change);
  void update_content();
  void update_all(int version, bool with_config);
  void update_place();
  void delete_application();
  void force_delete_application();
  void delete_cluster(bool force);
  bool register_cluster(const std::string& name);
  void register_again();
  bool label_cluster(const std::string& name, int zone);
  bool set_load(const std::string& name, std::optional<double> load);
  void change_load();
  void do_deed(Deed deed);
  void vandalise();
  std::optional<std::string> some_application();
  std::string some_cluster();
  void place(ApplicationSpec& spec);
  bool by_krakectl() { return random_.chance(scenario_.krakectl); }

  Env& env_;
  Conductor& conductor_;
  Client& client_;
  CommandUser& krakectl_;
  Clusters& clusters_;
  Checks& checks_;
  Model& model_;
  Reached& reached_;
  Trace& trace_;
  const Scenario& scenario_;
  Random random_;
  int next_ = 1;
  std::string why_;
};

}  // namespace krake::sim
