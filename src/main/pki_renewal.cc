#include "main/pki_renewal.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <initializer_list>
#include <map>
#include <set>
#include <utility>

#include "base/datetime.h"

namespace krake {

namespace {

// A certificate as the authority that signs sees it.
enum class Standing : std::uint8_t { none, root, itself, foreign, authority, certificate };

Standing standing_of(const std::string& text, const std::string& ca) {
  const auto info = certificate_info(text);
  if (!info) return Standing::none;
  if (info->authority && is_signed_by(text, text).value_or(false)) return Standing::root;
  if (is_same_authority(text, ca).value_or(false)) return Standing::itself;
  if (!is_signed_by(text, ca).value_or(false)) return Standing::foreign;
  return info->authority ? Standing::authority : Standing::certificate;
}

// Why one that was named is not renewed, and what to do.
std::string refusal(Standing standing, const CertificateFiles& one, const std::string& ca_path) {
  switch (standing) {
    case Standing::root:
      return fmt::format(
          "{}: is a root, which is not renewed: keep a copy, make a new one ('krake pki ca --force'), let everybody "
          "trust both, then make new certificates for all",
          one.cert_path);
    case Standing::itself:
      return fmt::format("{}: is the authority that signs; --ca-cert and --ca-key name the one above it",
                         one.cert_path);
    case Standing::foreign:
      return fmt::format("{}: is not signed by {}; --ca-cert and --ca-key name another one", one.cert_path, ca_path);
    default:
      return fmt::format("{}: the text holds no PEM certificate", one.cert_path);
  }
}

bool holds_key(const CertificateFiles& one) { return one.cert_pem->contains("PRIVATE KEY-----"); }

bool is_missing(const Result<std::string>& key_pem) { return !key_pem && key_pem.error().code == Code::not_found; }

// Why this file is no unencrypted PEM private key and nothing else; empty when it is. A new key takes all of its place.
std::string_view why_no_single_key(std::string_view key_pem, const std::string& cert_pem) {
  constexpr std::string_view kBegin = "-----BEGIN ";
  constexpr std::string_view kEnd = "PRIVATE KEY-----";
  constexpr std::string_view kBlank = " \t\r\n";
  constexpr std::string_view kParameters = "-----BEGIN EC PARAMETERS-----";
  constexpr std::string_view kEndParameters = "-----END EC PARAMETERS-----";
  if (key_pem.contains("-----BEGIN ENCRYPTED ") || key_pem.contains("Proc-Type: 4,ENCRYPTED"))
    return "is encrypted, which a new key would not be: decrypt it ('openssl pkey')";
  if (key_pem.contains("CERTIFICATE-----")) return "holds a certificate, too: keep the key alone in it";
  if (!key_pem.contains(kEnd)) return "holds no PEM private key: put the key into it";
  auto first = key_pem.find_first_not_of(kBlank);
  const auto last = key_pem.find_last_not_of(kBlank);
  // Which curve it is on, as 'openssl ecparam -genkey' writes it: the key says that, too.
  if (const auto end = key_pem.find(kEndParameters);
      end != std::string_view::npos && key_pem.substr(first).starts_with(kParameters))
    first = key_pem.find_first_not_of(kBlank, end + kEndParameters.size());
  const bool single = first < last && key_pem.substr(first).starts_with(kBegin) &&
                      !key_pem.substr(first + 1).contains(kBegin) && key_pem.substr(0, last + 1).ends_with(kEnd);
  if (!single) return "holds more than a private key: keep the key alone in it";
  return is_key_of(key_pem, cert_pem) ? "" : "holds no PEM private key that can be read: put the key into it";
}

// Whether the key file holds the key of something else. An interrupted renewal, too, has put another key there, but has
// left the old one beside it: without that nobody knows whose key a new one would replace.
bool is_others_key(const CertificateFiles& one) {
  return one.key_pem && !is_key_of(*one.key_pem, *one.cert_pem).value_or(true) &&
         std::ranges::none_of(one.left_keys,
                              [&](const std::string& key) { return is_key_of(key, *one.cert_pem).value_or(false); });
}

// Whether a new key may take the place of the old one.
Status check_old_key(const CertificateFiles& one) {
  const bool missing = is_missing(one.key_pem);
  const bool others = is_others_key(one);
  if (!one.target.empty() && (missing || others)) {
    return fail(Code::invalid_argument,
                fmt::format("{}: leads to '{}', whose key is not in '{}': renew that by its own name", one.cert_path,
                            one.target, one.key_path));
  }
  if (missing) {
    return fail(Code::invalid_argument,
                fmt::format("{}: its key is not in '{}': put the old key, or a link to it, there", one.cert_path,
                            one.key_path));
  }
  if (others) {
    return fail(Code::invalid_argument,
                fmt::format("{}: '{}' holds the key of something else, and no interrupted renewal has left the old key "
                            "beside it: put the old key there, or make a new certificate (--force)",
                            one.cert_path, one.key_path));
  }
  RETURN_IF_ERROR(one.key_pem);
  if (!one.unfit_key_file.empty())
    return fail(Code::invalid_argument, fmt::format("{}: {}", one.key_path, one.unfit_key_file));
  const auto why = why_no_single_key(*one.key_pem, *one.cert_pem);
  if (why.empty()) return {};
  return fail(Code::invalid_argument, fmt::format("{}: {}", one.key_path, why));
}

// Whether both files can be replaced.
Status check_files(const CertificateFiles& one) {
  const auto why = one.fixed_key_file.empty()    ? one.fixed_cert_file
                   : one.fixed_cert_file.empty() ? one.fixed_key_file
                                                 : fmt::format("{}; {}", one.fixed_key_file, one.fixed_cert_file);
  if (why.empty()) return {};
  return fail(Code::invalid_argument, fmt::format("{}: {}", one.cert_path, why));
}

// Whether it does without the key file that is to be replaced, as far as can be known.
bool has_other_key(const CertificateFiles& other, bool same_key_file) {
  if (holds_key(other) && is_key_of(*other.cert_pem, *other.cert_pem).value_or(true)) return true;
  if (same_key_file) return false;
  if (!other.key_pem) return !is_missing(other.key_pem);
  return is_key_of(*other.key_pem, *other.cert_pem).value_or(true);
}

const std::string& file_of(const CertificateFiles& one) {
  return one.cert_file.empty() ? one.cert_path : one.cert_file;
}

class Planner {
 public:
  Planner(const SigningAuthority& ca, std::span<const CertificateFiles> all, std::span<const CertificateFiles> beside,
          Wall now)
      : ca_(ca), all_(all), beside_(beside), now_(now), authorities_{ca.pem.cert_pem} {}

  // Makes the new certificate of an authority whose key is there.
  Status make_authority(const CertificateFiles& one) {
    if (holds_key(one) || !one.fixed_cert_file.empty() || !key_of(one)) return {};
    const auto made = renew_authority(ca_.pem, {.cert_pem = *one.cert_pem, .key_pem = *one.key_pem}, now_);
    if (!made) return fail(with_context(made.error(), one.cert_path));
    authorities_.push_back(made->cert_pem);
    made_[one.cert_path] = made->cert_pem;
    return {};
  }

  // Puts it into its file. One that holds authorities for those who trust them, without a key, gets those of others.
  Status replace_authority(const CertificateFiles& one, bool named) {
    if (holds_key(one)) return refuse_key_in(one, named);
    if (!one.fixed_cert_file.empty())
      return leave_odd(one, {Code::invalid_argument, fmt::format("{}: {}", one.cert_path, one.fixed_cert_file)}, named);
    const auto made = made_.find(one.cert_path);
    if (made != made_.end()) return replace(one, made->second);
    const auto key = key_of(one);
    if (key) return {};  // make_authority() has said why there is none
    const auto text = replace_certificates(*one.cert_pem, "", authorities_);
    if (text && text->other_first) return replace(one, "");
    if (!named && is_missing(one.key_pem)) return leave_keyless(one);
    return fail(Code::invalid_argument,
                fmt::format("{}: an authority keeps its key, or all that it signed is worth nothing: {}; put its key "
                            "into '{}', or renew the others by their names",
                            one.cert_path, key.error().message, one.key_path));
  }

  Status renew_certificate(const CertificateFiles& one, bool named) {
    if (holds_key(one)) return refuse_key_in(one, named);
    if (is_missing(one.key_pem)) return {};  // renew_keyless() is for those
    const Status done = renew_pair(one);
    return done ? done : leave_odd(one, done.error(), named);
  }

  // After those that have keys: it may be a copy of one.
  Status renew_keyless(const CertificateFiles& one, bool named) {
    if (holds_key(one) || !is_missing(one.key_pem) || replace_copy(one)) return {};
    return named ? check_old_key(one) : leave_keyless(one);
  }

  void renew_copies_beside() {
    for (const auto& other : beside_) replace_copy(other);
  }

  // What was not named holds them, too: those who read it would go on with the old ones.
  void replace_authorities_beside() {
    if (made_.empty()) return;
    for (const auto& other : beside_)
      if (!written_.contains(file_of(other))) replace_authorities_in(other, "it was not named");
  }

  // A certificate of others stays; in its file there may be an authority that is renewed. `why` is empty for one that
  // everybody knows to stay.
  void leave(const CertificateFiles& one, std::string_view why) {
    // The key file of another one, by a name of its own.
    if (written_.contains(file_of(one))) return;
    if (!replace_authorities_in(one, why.empty() ? "it is the authority that signs" : why) && !why.empty())
      plan_.notes.push_back(fmt::format("{}: left as it is: {}", one.cert_path, why));
  }

  void note_problem(std::string problem) { plan_.problems.push_back(std::move(problem)); }

  RenewalPlan plan() && {
    if (!plan_.problems.empty()) plan_.files.clear();
    return std::move(plan_);
  }

 private:
  // One odd pair stops no renewal of all, unless it is unknown what it is. Problems begin with the path, notes have it
  // already.
  Status leave_odd(const CertificateFiles& one, const Error& why, bool named) {
    if (named || why.code != Code::invalid_argument) return fail(why);
    const auto path = one.cert_path + ": ";
    leave(one, std::string_view(why.message).substr(why.message.starts_with(path) ? path.size() : 0));
    return {};
  }

  Status refuse_key_in(const CertificateFiles& one, bool named) {
    const auto why = fmt::format("holds a private key, too: keep that in '{}' alone", one.key_path);
    if (named) return fail(Code::invalid_argument, fmt::format("{}: {}", one.cert_path, why));
    leave(one, "it " + why);
    return {};
  }

  // The key first: the certificate is the mark that both are in place. After an interruption in between the pair does
  // not match, which every program and `pki show` notices, and the old certificate still says when it ends and, to the
  // next renewal, what is to be made. The other way round it would look renewed.
  Status renew_pair(const CertificateFiles& one) {
    RETURN_IF_ERROR(check_old_key(one));
    RETURN_IF_ERROR(check_files(one));
    RETURN_IF_ERROR(check_shared_key(one));
    const auto made = krake::renew_certificate(ca_.pem, *one.cert_pem, now_);
    if (!made) return fail(with_context(made.error(), one.cert_path));
    RETURN_IF_ERROR(replace(one, made->cert_pem));
    plan_.files.insert(plan_.files.end() - 1, {.path = one.key_path, .text = made->key_pem});
    written_.insert(one.key_file);
    renewed_.emplace_back(*one.cert_pem, made->cert_pem);
    return {};
  }

  Status leave_keyless(const CertificateFiles& one) {
    leave(one, fmt::format("its key is not in '{}'", one.key_path));
    return {};
  }

  bool any_of_both(const auto& is_it) const {
    return std::ranges::any_of(all_, is_it) || std::ranges::any_of(beside_, is_it);
  }

  // The same certificate in another file that has no key, as a chain for a server that reads both; by another name, or
  // behind a link, it may have one.
  bool is_copy(const CertificateFiles& other, const std::string& cert_pem) const {
    if (!other.cert_pem || !other.target.empty() || holds_key(other) || !other.fixed_cert_file.empty()) return false;
    const auto has_key = [&](const CertificateFiles& one) {
      return file_of(one) == file_of(other) && !is_missing(one.key_pem);
    };
    return !any_of_both(has_key) && is_same_certificate(*other.cert_pem, cert_pem).value_or(false) &&
           replace_certificates(*other.cert_pem, cert_pem, {});
  }

  // The other certificates that read the key of this one.
  Status check_shared_key(const CertificateFiles& one) const {
    for (const auto others : {all_, beside_})
      for (const auto& other : others) RETURN_IF_ERROR(check_shared_key(one, other));
    return {};
  }

  Status check_shared_key(const CertificateFiles& one, const CertificateFiles& other) const {
    if (other.cert_path == one.cert_path || !other.cert_pem) return {};
    const bool same_key_file = !one.key_file.empty() && other.key_file == one.key_file;
    if (!one.cert_file.empty() && other.cert_file == one.cert_file) {
      if (other.key_file.empty() || same_key_file) return {};
      return fail(Code::invalid_argument,
                  fmt::format("{}: '{}' leads to the same certificate and has a key file of its own, '{}', which would "
                              "keep the old key: remove that or make it a link to '{}'",
                              one.cert_path, other.cert_path, other.key_path, one.key_path));
    }
    // It may be another's alone: when the two key files were swapped, for example. A copy is renewed, too.
    if (has_other_key(other, same_key_file) || !is_key_of(*one.key_pem, *other.cert_pem).value_or(false) ||
        is_copy(other, *one.cert_pem)) {
      return {};
    }
    if (same_key_file) {
      return fail(Code::invalid_argument,
                  fmt::format("{}: is one file with '{}', the key of '{}', which would lose it: "
                              "let each be a file of its own",
                              one.key_path, other.key_path, other.cert_path));
    }
    return fail(Code::invalid_argument,
                fmt::format("{}: is the key of '{}', too, which would be left without: put a copy of it into '{}'",
                            one.key_path, other.cert_path, other.key_path));
  }

  // `why` its own certificate stays. False when nothing is replaced in it, and nothing said of that.
  bool replace_authorities_in(const CertificateFiles& one, std::string_view why) {
    const auto made = one.cert_pem ? replace_certificates(*one.cert_pem, "", authorities_) : fail(one.cert_pem.error());
    if (!made) return false;
    note_left(one, *made);
    if (made->text == *one.cert_pem) return false;
    if (!one.fixed_cert_file.empty()) {
      plan_.notes.push_back(fmt::format("{}: keeps the old authority: {}", one.cert_path, one.fixed_cert_file));
      return true;
    }
    push(one, made->text);
    if (!made->other_first)
      plan_.notes.push_back(fmt::format("{}: stays, with the renewed authority behind it: {}", one.cert_path, why));
    return true;
  }

  // Whether it is a copy of what is renewed.
  bool replace_copy(const CertificateFiles& other) {
    const auto copy = [&](const auto& pair) { return is_copy(other, pair.first); };
    const auto renewed = std::ranges::find_if(renewed_, copy);
    if (renewed == renewed_.end() || written_.contains(file_of(other)) || !replace(other, renewed->second))
      return false;
    plan_.notes.push_back(
        fmt::format("{}: has no key of its own and began with a certificate that is renewed: it "
                    "begins with the new one",
                    other.cert_path));
    return true;
  }

  void push(const CertificateFiles& one, std::string text) {
    written_.insert(file_of(one));
    plan_.files.push_back({.path = one.cert_path, .text = std::move(text)});
  }

  static Status key_of(const CertificateFiles& one) {
    RETURN_IF_ERROR(one.key_pem);
    return check_ca({.cert_pem = *one.cert_pem, .key_pem = *one.key_pem});
  }

  void note_left(const CertificateFiles& one, const ReplacedText& made) {
    for (const auto& name : made.left) {
      plan_.notes.push_back(
          fmt::format("{}: another certificate of '{}' in it stays: its issuer or its extensions are "
                      "not those of the present one, or it is a TRUSTED CERTIFICATE",
                      one.cert_path, name));
    }
  }

  // `first` as for replace_certificates().
  Status replace(const CertificateFiles& one, std::string_view first) {
    auto made = replace_certificates(*one.cert_pem, first, authorities_);
    if (!made) return fail(with_context(made.error(), one.cert_path));
    note_left(one, *made);
    ASSIGN_OR_RETURN(const auto before, certificate_expiry(*one.cert_pem));
    ASSIGN_OR_RETURN(const auto until, certificate_expiry(made->text));
    push(one, std::move(made->text));
    // Of what was wanted only the authority's end takes something away.
    const auto lifetime = std::chrono::duration_cast<Wall::duration>(kCertificateLifetime);
    if (until < std::chrono::floor<std::chrono::seconds>(std::max(now_ + lifetime, before))) {
      plan_.notes.push_back(fmt::format("{}: ends with the authority, on {:.10}; renew that first", one.cert_path,
                                        to_string(DateTime::from_wall(until))));
    }
    return {};
  }

  const SigningAuthority& ca_;
  const std::span<const CertificateFiles> all_;
  const std::span<const CertificateFiles> beside_;
  const Wall now_;
  std::vector<std::string> authorities_;                      // as they are after it
  std::map<std::string, std::string> made_;                   // of them, by the path of the old one
  std::vector<std::pair<std::string, std::string>> renewed_;  // certificates, the old one and the new one
  std::set<std::string> written_;                             // files
  RenewalPlan plan_;
};

}  // namespace

RenewalPlan plan_renewal(const SigningAuthority& ca, std::span<const CertificateFiles> all,
                         std::span<const CertificateFiles> beside, bool named, Wall now) {
  Planner planner(ca, all, beside, now);
  std::vector<Standing> standings;
  for (const auto& one : all)
    standings.push_back(one.cert_pem ? standing_of(*one.cert_pem, ca.pem.cert_pem) : Standing::none);
  const auto each = [&](std::initializer_list<Standing> which, auto what) {
    for (std::size_t i = 0; i < all.size(); ++i) {
      if (std::ranges::find(which, standings[i]) == which.end()) continue;
      if (const Status done = what(all[i], standings[i]); !done) planner.note_problem(done.error().message);
    }
  };
  // The authorities first: they stand behind others.
  each({Standing::authority}, [&](const auto& one, Standing) { return planner.make_authority(one); });
  each({Standing::authority}, [&](const auto& one, Standing) { return planner.replace_authority(one, named); });
  each({Standing::certificate}, [&](const auto& one, Standing) { return planner.renew_certificate(one, named); });
  each({Standing::certificate}, [&](const auto& one, Standing) { return planner.renew_keyless(one, named); });
  planner.renew_copies_beside();
  if (named) planner.replace_authorities_beside();
  each({Standing::none, Standing::root, Standing::itself, Standing::foreign},
       [&](const CertificateFiles& one, Standing standing) -> Status {
         // A folder, a pipe or a loose link is no certificate; of what may not be read nobody knows.
         const bool unknown = !one.cert_pem && one.cert_pem.error().code == Code::unavailable;
         if (unknown || (named && !one.cert_pem)) return fail(one.cert_pem.error());
         if (named) return fail(Code::invalid_argument, refusal(standing, one, ca.path));
         if (standing == Standing::none) {
           planner.leave(one, one.cert_pem ? "it holds no certificate" : one.cert_pem.error().message);
         } else {
           const bool is_ca = is_same_authority(*one.cert_pem, ca.pem.cert_pem).value_or(false);
           planner.leave(one, is_ca ? "" : fmt::format("{} is not above it", ca.path));
         }
         return {};
       });
  return std::move(planner).plan();
}

}  // namespace krake
