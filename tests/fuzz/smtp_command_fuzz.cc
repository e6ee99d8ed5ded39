// Command lines, and the arguments of MAIL, RCPT, BDAT and XCLIENT.
#include "agents/mail/smtp/command.h"
#include "tests/fuzz/input.h"

namespace {

using prov::smtp::Reply;

bool HasLineEnd(const std::string& text) { return text.find_first_of("\r\n") != text.npos; }

void CheckArguments(const std::string& line) {
  Reply refusal;
  const auto mail = ParseMail(line, {.auth = true}, &refusal);
  FUZZ_CHECK(mail.has_value() || refusal.code / 100 == 5);
  if (mail) FUZZ_CHECK(!HasLineEnd(mail->sender.text) && !HasLineEnd(mail->envelope_id));
  refusal = {};
  const auto recipient = ParseRecipient(line, {.utf8 = true}, &refusal);
  FUZZ_CHECK(recipient.has_value() || refusal.code / 100 == 5);
  if (recipient) FUZZ_CHECK(!HasLineEnd(recipient->path.text) && !HasLineEnd(recipient->original));
  refusal = {};
  const auto client = prov::smtp::ParseXclient(line, &refusal);
  FUZZ_CHECK(client.has_value() == (refusal.code == 0));
  if (client) FUZZ_CHECK(!HasLineEnd(client->hello) && !HasLineEnd(client->address.value_or("")));
  prov::smtp::ParseBdat(line);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  prov::fuzz::Pieces pieces(data, size);
  prov::smtp::CommandLines lines;
  for (std::string_view piece = pieces.Next(); !piece.empty(); piece = pieces.Next()) {
    lines.Append(piece);
    for (auto line = lines.Next(); line.kind != prov::smtp::CommandLines::Kind::kNone; line = lines.Next()) {
      FUZZ_CHECK(line.text.size() <= prov::smtp::kMaxCommandOctets);
      if (line.kind == prov::smtp::CommandLines::Kind::kLine) CheckArguments(line.text);
    }
    FUZZ_CHECK(lines.rest().size() <= prov::smtp::kMaxCommandOctets + piece.size());
  }
  return 0;
}
