// Files of the queue, as a disk or an operator may have left them.
#include "agents/mail/queue/message_format.h"
#include "tests/fuzz/input.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view file(reinterpret_cast<const char*>(data), size);
  auto message = prov::queue::ParseEnvelope(file);
  if (!message.ok()) return 0;
  FUZZ_CHECK(prov::queue::IsMessageId(message->envelope.id));
  FUZZ_CHECK(!message->envelope.recipients.empty());
  // What was read is written as something that is read as the same.
  const std::string again = prov::queue::FormatEnvelope(message->envelope, message->content_octets);
  const auto second = prov::queue::ParseEnvelope(again);
  FUZZ_CHECK(second.ok());
  FUZZ_CHECK(prov::queue::FormatEnvelope(second->envelope, second->content_octets) == again);
  if (message->content_octets > size - message->content_offset) return 0;
  const std::string_view tail = file.substr(message->content_offset + message->content_octets);
  if (!prov::queue::ApplyTail(tail, *message).ok()) return 0;
  FUZZ_CHECK(message->good_octets <= size);
  return 0;
}
