#include "main/pki_renewal.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "net/pki_testing.h"

namespace krake {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const Wall kNow = std::chrono::sys_days(std::chrono::year(2024) / 5 / 17) + 10h;

struct Renewal : ::testing::Test {
  const CertificateAndKey root = make_ca("root", kNow, kCaLifetime, 2).value();
  const CertificateAndKey middle = make_intermediate_ca(root, "middle", kNow).value();
  const CertificateAndKey leaf = issue(root, "leaf", {}, {.client = true}, kNow).value();
  const CertificateAndKey below = issue(middle, "below", {}, {.client = true}, kNow).value();
  const SigningAuthority ca{.path = "root.pem", .pem = root};
  const Error missing{Code::not_found, "cannot read it"};

  CertificateFiles files(std::string_view name, Result<std::string> cert) const {
    return {.cert_path = fmt::format("{}.pem", name),
            .key_path = fmt::format("{}-key.pem", name),
            .cert_pem = std::move(cert),
            .key_pem = fail(missing)};
  }
  CertificateFiles files(std::string_view name, const CertificateAndKey& pair) const {
    auto found = files(name, Result<std::string>(pair.cert_pem));
    found.key_pem = pair.key_pem;
    return found;
  }
  // With the files that there are behind all links.
  static CertificateFiles at(CertificateFiles one, std::string cert_file, std::string key_file = "") {
    one.cert_file = std::move(cert_file);
    one.key_file = std::move(key_file);
    return one;
  }
  RenewalPlan plan(std::vector<CertificateFiles> all, bool named = false, Wall now = kNow + 24h,
                   std::vector<CertificateFiles> beside = {}) const {
    return plan_renewal(ca, all, beside, named, now);
  }
  static std::vector<std::string> paths(const RenewalPlan& plan) {
    std::vector<std::string> paths;
    for (const auto& file : plan.files) paths.push_back(file.path);
    return paths;
  }
};

TEST_F(Renewal, ReplacesAuthoritiesFirstAndKeysBeforeCertificates) {
  const auto made = plan({files("leaf", leaf), files("middle", middle), files("root", root)});
  EXPECT_THAT(paths(made), ElementsAre("middle.pem", "leaf-key.pem", "leaf.pem"));
  EXPECT_THAT(made.notes, IsEmpty());
  EXPECT_THAT(made.problems, IsEmpty());
  EXPECT_TRUE(is_key_of(middle.key_pem, made.files[0].text).value());
  EXPECT_TRUE(is_key_of(made.files[1].text, made.files[2].text).value());
}

TEST_F(Renewal, PutsTheRenewedAuthorityBehindWhatHasIt) {
  const auto made =
      plan({files("a", below.cert_pem + middle.cert_pem),
            files("b", {leaf.cert_pem + middle.cert_pem + root.cert_pem, leaf.key_pem}),
            files("bundle", middle.cert_pem + root.cert_pem), files("middle", middle), files("other", below)});
  ASSERT_THAT(paths(made), ElementsAre("bundle.pem", "middle.pem", "b-key.pem", "b.pem", "a.pem"));
  const auto& renewed = made.files[1].text;
  EXPECT_EQ(made.files[0].text, renewed + root.cert_pem) << "authorities to be trusted, without keys";
  EXPECT_TRUE(made.files[3].text.ends_with(renewed + root.cert_pem));
  EXPECT_EQ(made.files[4].text, below.cert_pem + renewed);
  EXPECT_THAT(made.notes, ElementsAre("a.pem: stays, with the renewed authority behind it: root.pem is not above it",
                                      "other.pem: left as it is: root.pem is not above it"));
}

TEST_F(Renewal, DecidesNothingWithAProblem) {
  const auto other = make_ca("other", kNow).value();
  const auto more = issue(root, "more", {}, {.client = true}, kNow).value();
  const struct {
    CertificateFiles one;
    const char* named;
    const char* of_all;  // empty: it is left
  } rows[] = {
      {files("x", Result<std::string>("junk")), "x.pem: the text holds no PEM certificate", ""},
      {files("x", fail(missing)), "cannot read it", ""},
      {files("x", fail(Code::unavailable, "Permission denied")), "Permission denied", "Permission denied"},
      {files("x", fail(Code::invalid_argument, "it is a folder")), "it is a folder", ""},
      {files("x", below), "x.pem: is not signed by root.pem", ""},
      {files("x", other), "x.pem: is a root, which is not renewed: keep a copy", ""},
      {files("x", root), "x.pem: is a root, which is not renewed: keep a copy", ""},
      {files("x", middle.cert_pem), "put its key into 'x-key.pem'", ""},
      {files("x", {middle.cert_pem, leaf.key_pem}), "an authority keeps its key", "an authority keeps its key"},
      {files("x", more.cert_pem + more.key_pem), "x.pem: holds a private key, too: keep that in 'x-key.pem' alone", ""},
      {files("x", {more.cert_pem + more.key_pem, more.key_pem}), "x.pem: holds a private key, too", ""},
      {files("x", {middle.cert_pem + middle.key_pem, middle.key_pem}), "x.pem: holds a private key, too", ""},
      {files("x", {testing::trusted(more.cert_pem), more.key_pem}), "x.pem: the first certificate is a TRUSTED", ""},
  };
  for (const auto& row : rows) {
    for (const bool named : {true, false}) {
      const std::string expected = named ? row.named : row.of_all;
      const auto made = plan({row.one, files("leaf", leaf)}, named);
      if (expected.empty()) {
        EXPECT_THAT(made.problems, IsEmpty()) << row.named;
        EXPECT_THAT(paths(made), ElementsAre("leaf-key.pem", "leaf.pem")) << row.named;
      } else {
        EXPECT_THAT(made.problems, ElementsAre(HasSubstr(expected)));
        EXPECT_THAT(made.files, IsEmpty()) << expected;
      }
    }
  }
  const auto both = plan({files("x", below), files("y", fail(missing)), files("leaf", leaf)}, true);
  EXPECT_EQ(both.problems.size(), 2U) << "all are named";
}

TEST_F(Renewal, WantsOneKeyWhereTheNewOneGoes) {
  const std::string encrypted =
      "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAMCAQI=\n-----END ENCRYPTED PRIVATE KEY-----\n";
  const std::string old_encrypted =
      "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nMAMCAQI=\n"
      "-----END EC PRIVATE KEY-----\n";
  const std::string parameters = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n";
  const struct {
    Result<std::string> key;
    const char* problem;  // empty: none
  } rows[] = {
      {leaf.key_pem, ""},
      {"\n" + leaf.key_pem + " \r\n", ""},
      {below.key_pem, "x.pem: 'x-key.pem' holds the key of something else, and no interrupted renewal has left"},
      {encrypted, "x-key.pem: is encrypted, which a new key would not be: decrypt it"},
      {old_encrypted, "x-key.pem: is encrypted"},
      {leaf.key_pem + leaf.cert_pem, "x-key.pem: holds a certificate, too"},
      {leaf.cert_pem + leaf.key_pem, "x-key.pem: holds a certificate, too"},
      {leaf.key_pem + below.key_pem, "x-key.pem: holds more than a private key"},
      {parameters + leaf.key_pem, ""},  // as OpenSSL writes it
      {parameters, "x-key.pem: holds no PEM private key"},
      {leaf.key_pem + parameters, "x-key.pem: holds more than a private key"},
      {parameters + "of alice\n" + leaf.key_pem, "x-key.pem: holds more than a private key"},
      {parameters + parameters + leaf.key_pem, "x-key.pem: holds more than a private key"},
      {"of alice\n" + leaf.key_pem, "x-key.pem: holds more than a private key"},
      {leaf.key_pem + "of alice\n", "x-key.pem: holds more than a private key"},
      {"", "x-key.pem: holds no PEM private key"},
      {"junk", "x-key.pem: holds no PEM private key"},
      {"-----BEGIN PRIVATE KEY-----\nMAMCAQI=\n-----END PRIVATE KEY-----\n",
       "holds no PEM private key that can be read"},
      {fail(Code::unavailable, "cannot read it: Permission denied"), "Permission denied"},
      {fail(Code::invalid_argument, "it is a folder"), "it is a folder"},
  };
  for (const auto& row : rows) {
    auto one = files("x", leaf);
    one.key_pem = row.key;
    for (const bool named : {true, false}) {
      const auto made = plan({one}, named);
      if (std::string_view(row.problem).empty()) {
        EXPECT_THAT(made.problems, IsEmpty());
        EXPECT_THAT(paths(made), ElementsAre("x-key.pem", "x.pem"));
      } else {
        const bool unknown = !row.key && row.key.error().code == Code::unavailable;
        const std::string_view problem = row.problem;
        if (named || unknown) {
          EXPECT_THAT(made.problems, ElementsAre(HasSubstr(problem)));
        } else {
          EXPECT_THAT(made.problems, IsEmpty()) << problem;
          EXPECT_THAT(made.notes, ElementsAre(HasSubstr("x.pem: left as it is: ")));
          EXPECT_THAT(made.notes, ElementsAre(HasSubstr(problem.substr(problem.starts_with("x.pem: ") ? 7 : 0))));
        }
        EXPECT_THAT(made.files, IsEmpty()) << problem;
      }
    }
  }
}

TEST_F(Renewal, LeavesACertificateWhoseKeyIsElsewhere) {
  const auto lone = files("x", Result<std::string>(issue(root, "x", {}, {.client = true}, kNow)->cert_pem));
  const auto all = plan({lone, files("leaf", leaf)});
  EXPECT_THAT(all.problems, IsEmpty());
  EXPECT_THAT(all.notes, ElementsAre("x.pem: left as it is: its key is not in 'x-key.pem'"));
  EXPECT_THAT(paths(all), ElementsAre("leaf-key.pem", "leaf.pem"));
  const auto named = plan({lone, files("leaf", leaf)}, true);
  EXPECT_THAT(named.problems, ElementsAre(HasSubstr("x.pem: its key is not in 'x-key.pem': put the old key")));
  EXPECT_THAT(named.files, IsEmpty());
}

TEST_F(Renewal, RenewsBehindALinkWithItsKeyAlone) {
  auto one = files("x", leaf);
  one.target = "/far/a.pem";
  EXPECT_THAT(paths(plan({one}, true)), ElementsAre("x-key.pem", "x.pem"));
  const auto* problem = "x.pem: leads to '/far/a.pem', whose key is not in 'x-key.pem': renew that by its own name";
  one.key_pem = below.key_pem;
  EXPECT_THAT(plan({one}, true).problems, ElementsAre(problem));
  EXPECT_THAT(plan({one}, false).notes, ElementsAre(HasSubstr("x.pem: left as it is: leads to '/far/a.pem', whose")));
  one.key_pem = leaf.key_pem + leaf.cert_pem;
  EXPECT_THAT(plan({one}, true).problems, ElementsAre(HasSubstr("holds a certificate, too")));
  one.key_pem = fail(missing);
  EXPECT_THAT(plan({one}, true).problems, ElementsAre(problem));
  EXPECT_THAT(plan({one}, false).notes, ElementsAre("x.pem: left as it is: its key is not in 'x-key.pem'"));
}

TEST_F(Renewal, RenewsWhatAnInterruptionLeft) {
  auto one = files("x", leaf);
  one.key_pem = below.key_pem;
  one.left_keys = {"junk", middle.key_pem};
  EXPECT_THAT(plan({one}, true).files, IsEmpty()) << "others' keys";
  one.left_keys.push_back(leaf.key_pem);
  for (const bool named : {true, false}) {
    const auto made = plan({one}, named);
    EXPECT_THAT(made.notes, IsEmpty());
    EXPECT_THAT(paths(made), ElementsAre("x-key.pem", "x.pem"));
  }
}

TEST_F(Renewal, RenewsBehindALinkWhatAnInterruptionLeft) {
  auto one = files("x", leaf);
  one.target = "/far/certs/a.pem";
  one.key_pem = below.key_pem;
  one.left_keys = {"junk", middle.key_pem};
  EXPECT_THAT(plan({one}, true).problems, ElementsAre(HasSubstr("renew that by its own name"))) << "others' keys";
  one.left_keys.push_back(leaf.key_pem);
  EXPECT_THAT(paths(plan({one}, true)), ElementsAre("x-key.pem", "x.pem"));
  one.key_pem = fail(missing);
  EXPECT_THAT(plan({one}, true).problems, ElementsAre(HasSubstr("renew that by its own name")));
}

TEST_F(Renewal, PutsNoKeyIntoAnUnfitFile) {
  auto one = files("x", leaf);
  one.unfit_key_file = "'x-key.pem' has mode 0644";
  const std::string problem = "x-key.pem: 'x-key.pem' has mode 0644";
  EXPECT_THAT(plan({one}, true).problems, ElementsAre(problem));
  EXPECT_THAT(plan({one}, false).notes, ElementsAre("x.pem: left as it is: " + problem));
  for (const bool named : {true, false}) EXPECT_THAT(plan({one}, named).files, IsEmpty());
  one = files("x", middle);
  one.unfit_key_file = "'x-key.pem' has mode 0644";
  EXPECT_THAT(paths(plan({one}, true)), ElementsAre("x.pem")) << "no key is put there";
}

TEST_F(Renewal, LeavesWhatHasHardLinks) {
  auto a = files("a", leaf);
  a.fixed_key_file = "cannot replace 'a-key.pem'";
  a.fixed_cert_file = "cannot replace 'a.pem'";
  auto b = files("b", issue(root, "b", {}, {.client = true}, kNow).value());
  b.fixed_cert_file = "cannot replace 'b.pem'";
  auto authority = files("middle", middle);
  authority.fixed_cert_file = "cannot replace 'middle.pem'";
  const auto bundle = files("bundle", Result<std::string>(middle.cert_pem));
  const auto more = files("more", issue(root, "more", {}, {.client = true}, kNow).value());
  const auto named = plan({a, b, authority, more}, true);
  EXPECT_THAT(named.files, IsEmpty());
  EXPECT_THAT(named.problems, ElementsAre("middle.pem: cannot replace 'middle.pem'",
                                          "a.pem: cannot replace 'a-key.pem'; cannot replace 'a.pem'",
                                          "b.pem: cannot replace 'b.pem'"));
  const auto all = plan({a, b, authority, bundle, more});
  EXPECT_THAT(all.problems, IsEmpty());
  EXPECT_THAT(paths(all), ElementsAre("more-key.pem", "more.pem")) << "others go on with the old authority, too";
  EXPECT_THAT(all.notes, ElementsAre("middle.pem: left as it is: cannot replace 'middle.pem'",
                                     "bundle.pem: left as it is: its key is not in 'bundle-key.pem'",
                                     "a.pem: left as it is: cannot replace 'a-key.pem'; cannot replace 'a.pem'",
                                     "b.pem: left as it is: cannot replace 'b.pem'"));
  auto copy = files("copy", Result<std::string>(leaf.cert_pem));
  copy.fixed_cert_file = "cannot replace 'copy.pem'";
  EXPECT_THAT(plan({files("a", leaf)}, true, kNow + 24h, {copy}).problems,
              ElementsAre(HasSubstr("is the key of 'copy.pem', too, which would be left without")));
}

TEST_F(Renewal, LeavesAPairForWhichNoKeyIsMade) {
  const auto odd = files("x", testing::with_key(root, leaf.cert_pem, EVP_PKEY_Q_keygen(nullptr, nullptr, "X25519")));
  const auto more = files("more", issue(root, "more", {}, {.client = true}, kNow).value());
  const auto all = plan({odd, more});
  EXPECT_THAT(all.problems, IsEmpty());
  EXPECT_THAT(all.notes, ElementsAre(HasSubstr("x.pem: left as it is: a new key can be RSA, EC,")));
  EXPECT_THAT(paths(all), ElementsAre("more-key.pem", "more.pem"));
  EXPECT_THAT(plan({odd, more}, true).problems, ElementsAre(HasSubstr("x.pem: a new key can be RSA, EC,")));
}

TEST_F(Renewal, SaysNothingOfAReplacedKeyByItsOwnName) {
  const auto one = at(files("a", leaf), "/d/a.pem", "/d/private.pem");
  const auto key = at(files("private", Result<std::string>(leaf.key_pem)), "/d/private.pem");
  const auto made = plan({one, key});
  EXPECT_THAT(paths(made), ElementsAre("a-key.pem", "a.pem"));
  EXPECT_THAT(made.notes, IsEmpty());
  auto broken = one;
  broken.key_pem = below.key_pem;
  EXPECT_THAT(plan({broken, key}).notes,
              ElementsAre(HasSubstr("a.pem: left as it is"), "private.pem: left as it is: it holds no certificate"));
}

TEST_F(Renewal, PutsANamedAuthorityIntoTheOtherFilesToo) {
  const std::vector<CertificateFiles> beside{files("bundle", middle.cert_pem + root.cert_pem),
                                             files("chain", {below.cert_pem + middle.cert_pem, below.key_pem}),
                                             files("leaf", leaf)};
  const auto made = plan({files("middle", middle)}, true, kNow + 24h, beside);
  EXPECT_THAT(made.problems, IsEmpty());
  ASSERT_THAT(paths(made), ElementsAre("middle.pem", "bundle.pem", "chain.pem"));
  EXPECT_EQ(made.files[1].text, made.files[0].text + root.cert_pem);
  EXPECT_EQ(made.files[2].text, below.cert_pem + made.files[0].text);
  EXPECT_THAT(made.notes, ElementsAre("chain.pem: stays, with the renewed authority behind it: it was not named"));
  EXPECT_THAT(paths(plan({files("leaf", leaf)}, true, kNow + 24h, beside)), ElementsAre("leaf-key.pem", "leaf.pem"));

  auto linked = beside[0];
  linked.fixed_cert_file = "cannot replace 'bundle.pem'";
  const auto kept = plan({files("middle", middle)}, true, kNow + 24h, {linked});
  EXPECT_THAT(paths(kept), ElementsAre("middle.pem"));
  EXPECT_THAT(kept.notes, ElementsAre("bundle.pem: keeps the old authority: cannot replace 'bundle.pem'"));
}

TEST_F(Renewal, RefusesASecondKeyFileOfACertificate) {
  const auto one = at(files("a", leaf), "/d/a.pem", "/d/a-key.pem");
  const std::string problem =
      "a.pem: 'b.pem' leads to the same certificate and has a key file of its own, 'b-key.pem', which would keep the "
      "old key: remove that or make it a link to 'a-key.pem'";
  const auto copied = at(files("b", leaf), "/d/a.pem", "/d/b-key.pem");
  EXPECT_THAT(plan({one}, true, kNow + 24h, {one, copied}).problems, ElementsAre(problem));
  const auto all = plan({one}, false, kNow + 24h, {one, copied});
  EXPECT_THAT(all.notes, ElementsAre(HasSubstr("a.pem: left as it is: 'b.pem' leads to the same certificate and")));
  EXPECT_THAT(all.files, IsEmpty());
  for (const bool named : {true, false}) {
    const auto with = [&](const CertificateFiles& other) { return plan({one}, named, kNow + 24h, {one, other}); };
    for (const auto& other : {at(files("b", leaf), "/d/a.pem", "/d/a-key.pem"),
                              at(files("b", Result<std::string>(leaf.cert_pem)), "/d/a.pem")}) {
      EXPECT_THAT(paths(with(other)), ElementsAre("a-key.pem", "a.pem"));
    }
  }
}

TEST_F(Renewal, RefusesAKeyThatOthersHave) {
  const auto one = at(files("a", leaf), "/d/a.pem", "/d/a-key.pem");
  const auto same_key = testing::changed(
      root, leaf.cert_pem, [](X509* cert) { testing::set_extension(cert, NID_netscape_comment, "other"); });
  const std::string problem =
      "a-key.pem: is the key of 'b.pem', too, which would be left without: put a copy of it into 'b-key.pem'";
  const auto with = [&](const CertificateFiles& other) { return plan({one}, true, kNow + 24h, {other}).problems; };
  EXPECT_THAT(
      with(at(files("b", leaf), "/d/b.pem", "/d/a-key.pem")),
      ElementsAre("a-key.pem: is one file with 'b-key.pem', the key of 'b.pem', which would lose it: let each be "
                  "a file of its own"));
  const auto keyless = at(files("b", Result<std::string>(same_key + root.cert_pem)), "/d/b.pem");
  EXPECT_THAT(with(keyless), ElementsAre(problem));
  EXPECT_THAT(with(at(files("b", {same_key, below.key_pem}), "/d/b.pem", "/d/b-key.pem")), ElementsAre(problem))
      << "that is not its key";
  EXPECT_THAT(with(at(files("b", leaf), "/d/b.pem", "/d/b-key.pem")), IsEmpty()) << "it has a copy";
  EXPECT_THAT(with(files("b", Result<std::string>(leaf.cert_pem + leaf.key_pem))), IsEmpty()) << "it holds a copy";
  EXPECT_THAT(with(files("b", Result<std::string>(same_key + below.key_pem))), ElementsAre(problem));
  EXPECT_THAT(with(at(files("b", below), "/d/b.pem", "/d/a-key.pem")), IsEmpty()) << "it has lost its own already";
  EXPECT_THAT(with(files("b", fail(missing))), IsEmpty());

  const auto more = issue(root, "more", {}, {.client = true}, kNow).value();
  const auto all = plan({one, keyless, files("more", more)});
  EXPECT_THAT(paths(all), ElementsAre("more-key.pem", "more.pem")) << "one odd file stops no others";
  EXPECT_THAT(all.problems, IsEmpty());
  EXPECT_THAT(all.notes,
              ElementsAre("a.pem: left as it is: " + problem, "b.pem: left as it is: its key is not in 'b-key.pem'"));
}

TEST_F(Renewal, LosesNoKeyWhenTwoAreSwapped) {
  const auto more = issue(root, "more", {}, {.client = true}, kNow).value();
  auto a = at(files("a", {leaf.cert_pem, more.key_pem}), "/d/a.pem", "/d/a-key.pem");
  auto b = at(files("b", {more.cert_pem, leaf.key_pem}), "/d/b.pem", "/d/b-key.pem");
  for (const auto* problem : {"'a-key.pem' holds the key of something else",
                              "a-key.pem: is the key of 'b.pem', too, which would be left without"}) {
    EXPECT_THAT(plan({a}, true, kNow + 24h, {b}).problems, ElementsAre(HasSubstr(problem)));
    const auto all = plan({a, b});
    EXPECT_THAT(all.files, IsEmpty());
    EXPECT_EQ(all.notes.size(), 2U);
    // Now with what looks like an interruption.
    a.left_keys = {leaf.key_pem};
    b.left_keys = {more.key_pem};
  }
}

TEST_F(Renewal, RenewsCopiesWithoutAKeyToo) {
  const auto one = at(files("a", leaf), "/d/a.pem", "/d/a-key.pem");
  const auto chain = at(files("chain", Result<std::string>(leaf.cert_pem + root.cert_pem)), "/d/chain.pem");
  const auto* note =
      "chain.pem: has no key of its own and began with a certificate that is renewed: it begins with the new one";
  for (const auto& made : {plan({chain, one}), plan({chain, one}, true), plan({one}, true, kNow + 24h, {chain})}) {
    EXPECT_THAT(made.problems, IsEmpty());
    ASSERT_THAT(paths(made), ElementsAre("a-key.pem", "a.pem", "chain.pem"));
    EXPECT_EQ(made.files[2].text, made.files[1].text + root.cert_pem);
    EXPECT_THAT(made.notes, ElementsAre(note));
  }
  EXPECT_THAT(plan({chain}, true, kNow + 24h, {one}).problems, ElementsAre(HasSubstr("its key is not in")));

  // Behind a link, by another name, or with what it is trusted for, it is none.
  auto link = chain;
  link.target = "/far/chain.pem";
  const auto named = at(files("name", leaf), "/d/chain.pem", "/d/name-key.pem");
  const auto trusted = at(files("t", Result<std::string>(testing::trusted(leaf.cert_pem))), "/d/t.pem");
  for (const auto& beside : {std::vector{link}, std::vector{chain, named}, std::vector{trusted}}) {
    const auto made = plan({one}, true, kNow + 24h, beside);
    EXPECT_THAT(made.problems, ElementsAre(HasSubstr("which would be left without")));
  }
  const auto broken = at(files("chain", {leaf.cert_pem, below.key_pem}), "/d/chain.pem", "/d/chain-key.pem");
  EXPECT_THAT(plan({one}, true, kNow + 24h, {broken}).problems, ElementsAre(HasSubstr("which would be left without")));
}

TEST_F(Renewal, LeavesAnAuthorityWhoseKeyIsElsewhere) {
  const auto made = plan({files("x", Result<std::string>(middle.cert_pem)), files("leaf", leaf)});
  EXPECT_THAT(made.notes, ElementsAre("x.pem: left as it is: its key is not in 'x-key.pem'"));
  EXPECT_THAT(paths(made), ElementsAre("leaf-key.pem", "leaf.pem"));
}

TEST_F(Renewal, RenewsEachAuthorityFromItself) {
  const auto wide = testing::with_path_length(root, middle, 1);
  for (const bool first : {true, false}) {
    const auto narrow_files = files("narrow", middle);
    const auto wide_files = files("wide", wide);
    const auto made = plan({first ? narrow_files : wide_files, first ? wide_files : narrow_files,
                            files("bundle", wide.cert_pem), files("chain", below.cert_pem + middle.cert_pem)});
    ASSERT_THAT(made.problems, IsEmpty());
    ASSERT_EQ(made.files.size(), 4U);
    const auto& narrow_text = made.files[first ? 0 : 1].text;
    const auto& wide_text = made.files[first ? 1 : 0].text;
    // Only what says the same is replaced by it.
    EXPECT_TRUE(replace_certificates(middle.cert_pem, "", std::vector{narrow_text})->other_first);
    EXPECT_TRUE(replace_certificates(wide.cert_pem, "", std::vector{wide_text})->other_first);
    EXPECT_FALSE(replace_certificates(middle.cert_pem, "", std::vector{wide_text})->other_first);
    EXPECT_EQ(made.files[2].text, wide_text);
    EXPECT_EQ(made.files[3].text, below.cert_pem + narrow_text);
  }
}

TEST_F(Renewal, RenewsTheAuthoritiesBehindARoot) {
  const auto other = make_ca("other", kNow).value();
  const auto made = plan({files("all", root.cert_pem + middle.cert_pem), files("middle", middle),
                          files("more", other.cert_pem + middle.cert_pem)});
  ASSERT_THAT(paths(made), ElementsAre("middle.pem", "all.pem", "more.pem"));
  EXPECT_EQ(made.files[1].text, root.cert_pem + made.files[0].text);
  EXPECT_EQ(made.files[2].text, other.cert_pem + made.files[0].text);
  EXPECT_THAT(made.notes,
              ElementsAre("all.pem: stays, with the renewed authority behind it: it is the authority that signs",
                          "more.pem: stays, with the renewed authority behind it: root.pem is not above it"));
}

TEST_F(Renewal, LeavesCrossCertificatesAndSaysSo) {
  const auto other = make_ca("other", kNow, kCaLifetime, 2).value();
  const auto cross = renew_authority(other, middle, kNow).value().cert_pem;
  const auto made =
      plan({files("middle", middle), files("chain", {leaf.cert_pem + cross + middle.cert_pem, leaf.key_pem})});
  ASSERT_THAT(paths(made), ElementsAre("middle.pem", "chain-key.pem", "chain.pem"));
  EXPECT_TRUE(made.files[2].text.ends_with(cross + made.files[0].text));
  EXPECT_THAT(made.notes,
              ElementsAre(HasSubstr("chain.pem: another certificate of 'CN=middle' in it stays: its issuer")));
}

TEST_F(Renewal, RefusesTheAuthorityThatSigns) {
  const SigningAuthority signing{.path = "middle.pem", .pem = middle};
  const auto made = plan_renewal(signing, std::vector{files("middle", middle)}, {}, true, kNow);
  EXPECT_THAT(made.problems, ElementsAre(HasSubstr("--ca-cert and --ca-key name the one above it")));
  EXPECT_THAT(plan_renewal(signing, std::vector{files("middle", middle)}, {}, false, kNow).notes, IsEmpty());
}

TEST_F(Renewal, SaysWhatEndsWithTheAuthority) {
  const Wall late = kNow + 24h * 3600;
  const auto made = plan({files("leaf", leaf), files("middle", middle)}, false, late);
  EXPECT_THAT(made.notes, ElementsAre("middle.pem: ends with the authority, on 2034-05-15; renew that first",
                                      "leaf.pem: ends with the authority, on 2034-05-15; renew that first"));
  EXPECT_THAT(plan({files("leaf", leaf)}, false, kNow + 24h * 3285).notes, IsEmpty());
}

}  // namespace
}  // namespace krake
