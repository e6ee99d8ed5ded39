// The text after DATA and in BDAT chunks, and the header in it: however it is cut up, it means the same, and
// nothing that could be read as two messages is passed on.
#include "agents/mail/smtp/chunk_reader.h"
#include "agents/mail/smtp/content_encoder.h"
#include "agents/mail/smtp/data_reader.h"
#include "agents/mail/smtp/header_scanner.h"
#include "tests/fuzz/input.h"

namespace {

using prov::smtp::ContentFault;

void CheckText(const std::string& text) {
  for (size_t i = 0; i < text.size(); ++i) {
    FUZZ_CHECK(text[i] != '\0');
    if (text[i] == '\n') FUZZ_CHECK(i > 0 && text[i - 1] == '\r');
    if (text[i] == '\r') FUZZ_CHECK(i + 1 == text.size() || text[i + 1] == '\n');
  }
}

struct Read {
  std::string text;
  size_t taken = 0;
  bool ended = false;
  ContentFault fault = ContentFault::kNone;
};

Read ReadData(prov::fuzz::Pieces pieces) {
  Read read;
  prov::smtp::DataReader reader;
  for (std::string_view piece = pieces.Next(); !piece.empty() && !reader.ended(); piece = pieces.Next())
    read.taken += reader.Read(piece, read.text);
  read.ended = reader.ended();
  read.fault = reader.fault();
  return read;
}

prov::smtp::HeaderFacts ScanHeader(const std::string& text, size_t step) {
  prov::smtp::HeaderScanner scanner;
  for (size_t at = 0; at < text.size(); at += step) scanner.Feed(std::string_view(text).substr(at, step));
  scanner.Finish();
  return scanner.facts();
}

void CheckChunk(prov::fuzz::Pieces pieces) {
  prov::smtp::ChunkReader reader;
  reader.Begin(pieces.all().size(), true);
  std::string text;
  for (std::string_view piece = pieces.Next(); !piece.empty(); piece = pieces.Next()) {
    FUZZ_CHECK(reader.Read(piece, text) == piece.size());
  }
  if (reader.fault() == ContentFault::kNone && reader.chunk_ended()) CheckText(text);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const prov::fuzz::Pieces pieces(data, size);
  const Read cut = ReadData(pieces);
  prov::smtp::DataReader whole_reader;
  std::string whole;
  const size_t taken = whole_reader.Read(pieces.all(), whole);
  FUZZ_CHECK(taken == cut.taken && whole_reader.ended() == cut.ended && whole_reader.fault() == cut.fault);
  if (cut.fault == ContentFault::kNone) {
    FUZZ_CHECK(whole == cut.text);
    CheckText(whole);
    const auto by_octets = ScanHeader(whole, 1), at_once = ScanHeader(whole, whole.size() + 1);
    FUZZ_CHECK(by_octets.octets == at_once.octets && by_octets.received == at_once.received &&
               by_octets.delivered_to == at_once.delivered_to);
  }
  if (cut.ended && cut.fault == ContentFault::kNone) {
    // What goes out again is read as the same, and ends where it ends.
    prov::smtp::ContentEncoder encoder;
    std::string wire, again;
    encoder.Encode(whole, wire);
    encoder.Finish(wire);
    prov::smtp::DataReader next_host;
    FUZZ_CHECK(next_host.Read(wire, again) == wire.size() && next_host.ended());
    FUZZ_CHECK(again == whole);
  }
  CheckChunk(pieces);
  return 0;
}
