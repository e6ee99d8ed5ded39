#include "agents/mail/maildir/uidl_import.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <set>

#include "agents/mail/maildir/dovecot_uidlist.h"
#include "agents/mail/maildir/file_name.h"
#include "agents/mail/maildir/layout.h"
#include "agents/mail/maildir/mailbox.h"

namespace prov::maildir {
namespace {

namespace fs = std::filesystem;

constexpr char kUidlist[] =
    "3 V1275660208 N25022 G3085f01b7f11094c501100008c4a11c1\n"
    "25006 :1276528487.M364837P9451.kurkku,S=1355,W=1394:2,\n"
    "25017 W2481 G0a0b :1276533073.M242911P3632.kurkku:2,F\n"
    "25018 Pold-server-id :3.kept\n"
    "no line\n"
    "25019 W1\n"
    "25020 :4.last\n";

TEST(DovecotUidlist, TellsWhatDovecotWouldSay) {
  const auto uidls = DovecotUidls(kUidlist, kDovecotUidlFormat);
  ASSERT_TRUE(uidls.ok()) << uidls.status();
  EXPECT_EQ(uidls->size(), 4u);
  EXPECT_EQ(uidls->at("1276528487.M364837P9451.kurkku,S=1355,W=1394"), "000061ae4c0907b0");
  EXPECT_EQ(uidls->at("3.kept"), "old-server-id");
}

TEST(DovecotUidlist, KnowsTheFormatsOfItsManual) {
  const auto uidl = [](std::string_view format, const char* base) {
    const auto uidls = DovecotUidls(kUidlist, format);
    return uidls.ok() ? uidls->at(base) : uidls.status().ToString();
  };
  EXPECT_EQ(uidl("UID%u-%v", "4.last"), "UID25020-1275660208");
  EXPECT_EQ(uidl("%v.%u", "4.last"), "1275660208.25020");
  EXPECT_EQ(uidl("%f", "4.last"), "4.last");
  EXPECT_EQ(uidl("%g", "1276533073.M242911P3632.kurkku"), "0a0b");
  EXPECT_EQ(uidl("%g", "4.last"), "4.last");
  EXPECT_EQ(uidl("%010u", "4.last"), "0000025020");
  for (const char* bad : {"%m", "%", "%Xf", "%999999999999u", "%08X"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(DovecotUidls(kUidlist, bad).status())) << bad;
  }
}

TEST(DovecotUidlist, WhatIsNoneIsRefused) {
  for (const char* text : {"", "\n", "1 V12 N3\n", "3 N4\n", "3 Vx\n", "garbage"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(DovecotUidls(text, kDovecotUidlFormat).status())) << text;
  }
  EXPECT_TRUE(DovecotUidls("3 V1 N1", kDovecotUidlFormat)->empty());
}

TEST(ImportedUidl, GoesThroughAFileName) {
  for (const std::string uidl : {"000061ae4c0679b0", "a/b:c,d%e=f", "<x@y>", "%41", ".", "..", ",UIDL="}) {
    const auto name = WithImportedUidl("1.host,S=5:2,S", uidl);
    ASSERT_TRUE(name) << uidl;
    EXPECT_EQ(name->find('/'), std::string::npos);
    EXPECT_TRUE(name->ends_with(":2,S"));
    EXPECT_EQ(UidlOf(*name), uidl);
    EXPECT_EQ(ImportedUidlOf(*name), uidl);
    EXPECT_FALSE(WithImportedUidl(*name, "another")) << "it stays for ever";
  }
  for (const std::string& uidl :
       {std::string(), std::string("a b"), std::string("\xc3\xa9"), std::string(71, 'a')})
    EXPECT_FALSE(WithImportedUidl("1.host", uidl)) << uidl;
  EXPECT_FALSE(WithImportedUidl("1." + std::string(240, 'h'), "abcdefghij")) << "too long for a file";
}

// A name that somebody made by hand is only a name.
TEST(ImportedUidl, WhatIsMalformedIsPartOfTheName) {
  for (const char* name :
       {"1.h,UIDL=", "1.h,UIDL=%", "1.h,UIDL=%4", "1.h,UIDL=%zz", "1.h,UIDL=%0A", "1.h,UIDL=a b"}) {
    EXPECT_FALSE(ImportedUidlOf(name)) << name;
    EXPECT_EQ(UidlOf(name), UidlOfName(name)) << name;
  }
  EXPECT_EQ(UidlOf("1.h,UIDL=abc,W=4"), "abc");
}

class UidlImportTest : public testing::Test {
 protected:
  UidlImportTest() {
    char name[] = "/tmp/maildirXXXXXX";
    root_ = mkdtemp(name);
    path_ = *MailboxPath(root_, "m-1");
    EXPECT_TRUE(EnsureMailbox(root_, "m-1").ok());
  }
  ~UidlImportTest() override { fs::remove_all(root_); }

  void Put(const std::string& name, const std::string& text = "x\n") {
    std::ofstream(path_ + "/" + name) << text;
  }

  std::vector<std::string> Uidls() {
    std::vector<std::string> uidls;
    const auto mailbox = Mailbox::Open(root_, "m-1");
    for (const Message& message : (*mailbox)->messages()) uidls.emplace_back(message.uidl);
    return uidls;
  }

  std::string root_, path_;
};

TEST_F(UidlImportTest, MayBeRepeatedAndTouchesOnlyWhatIsNamed) {
  Put("cur/1.a:2,S");
  Put("new/2.b");
  Put("new/3.c");
  const std::map<std::string, std::string> uidls = {{"1.a", "id-a"}, {"2.b", "id-b"}, {"9.gone", "id-9"}};
  const auto first = ImportUidls(root_, "m-1", uidls);
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(first->named, 2u);
  EXPECT_EQ(first->without, 1u);
  EXPECT_EQ(Uidls(), (std::vector<std::string>{"id-a", "id-b", "3.c"}));
  EXPECT_TRUE(fs::exists(path_ + "/cur/1.a,UIDL=id-a:2,S"));
  const auto again = ImportUidls(root_, "m-1", uidls);
  EXPECT_EQ(again->named, 0u);
  EXPECT_EQ(again->before, 2u);
}

TEST_F(UidlImportTest, OneIdIsForOneMessage) {
  Put("cur/1.a:2,");
  Put("new/2.b");
  const auto imported = ImportUidls(root_, "m-1", {{"1.a", "same"}, {"2.b", "same"}});
  EXPECT_EQ(imported->named, 1u);
  EXPECT_EQ(imported->twice, 1u);
  EXPECT_EQ(Uidls(), (std::vector<std::string>{"same", "2.b"}));
}

// A person's `cp` makes two of one id: no client must take them for one.
TEST_F(UidlImportTest, TwoFilesOfOneIdAreTwoMessages) {
  Put("cur/1.a,UIDL=same:2,");
  Put("cur/2.b,UIDL=same:2,");
  const auto uidls = Uidls();
  EXPECT_EQ(uidls[0], "same");
  EXPECT_NE(uidls[1], "same");
  EXPECT_EQ(Uidls(), uidls);
}

TEST_F(UidlImportTest, QpoppersHeaderIsTakenFromTheHeaderAlone) {
  Put("new/1.a", "Subject: x\nX-UIDL: P3]\"!3(!!0?_\n\nbody\n");
  Put("new/2.b", "Subject: x\n\nX-UIDL: from-the-body\n");
  Put("new/3.c", "x-uidl:\tlower \r\nSubject: x\r\n\r\nbody\r\n");
  Put("new/4.d", "X-UIDL: with space\n\n");
  Put("new/5.e", "X-UIDL: " + std::string(71, 'e') + "\n\n");
  Put("new/6.f", "X-UIDL:\n\n");
  const auto imported = ImportXUidls(root_, "m-1");
  ASSERT_TRUE(imported.ok()) << imported.status();
  EXPECT_EQ(imported->named, 2u);
  EXPECT_EQ(imported->without, 4u);
  EXPECT_EQ(Uidls(), (std::vector<std::string>{"P3]\"!3(!!0?_", "2.b", "lower", "4.d", "5.e", "6.f"}));
}

TEST_F(UidlImportTest, NotWhileASessionHasTheMailbox) {
  Put("new/1.a");
  const auto session = Mailbox::Open(root_, "m-1");
  EXPECT_TRUE(absl::IsAborted(ImportXUidls(root_, "m-1").status()));
  EXPECT_TRUE(absl::IsNotFound(ImportXUidls(root_, "m-2").status()));
}

}  // namespace
}  // namespace prov::maildir
