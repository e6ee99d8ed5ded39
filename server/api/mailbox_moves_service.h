// prov.v1.MailboxMoves: what hosts tell of the moves they do.
#pragma once

#include "prov/v1/mailbox_moves.grpc.pb.h"
#include "server/api/write_call.h"
#include "server/store/mailbox_move_repository.h"

namespace prov::api {

// Thread-safe.
class MailboxMovesService final : public v1::MailboxMoves::Service {
 public:
  MailboxMovesService(const WriteCalls& writes, store::MailboxMoveRepository& moves)
      : writes_(writes), moves_(moves) {}

  grpc::Status ReportMailboxMove(grpc::ServerContext* context, const v1::ReportMailboxMoveRequest* request,
                                 v1::ReportMailboxMoveResponse* response) override;

 private:
  const WriteCalls& writes_;
  store::MailboxMoveRepository& moves_;
};

}  // namespace prov::api
