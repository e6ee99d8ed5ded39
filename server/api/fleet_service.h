// prov.v1.Fleet: pools and hosts, and mailboxes that move between pools.
#pragma once

#include <functional>
#include <string_view>
#include <utility>

#include "prov/v1/fleet.grpc.pb.h"
#include "server/api/write_call.h"
#include "server/store/fleet_repository.h"
#include "server/store/host_progress.h"
#include "server/store/mailbox_move_repository.h"

namespace prov::api {

// Thread-safe.
class FleetService final : public v1::Fleet::Service {
 public:
  // `trust_changed` is called after a write that takes certificates away.
  FleetService(const WriteCalls& writes, store::FleetRepository& fleet,
               store::HostProgressRepository& progress, store::MailboxMoveRepository& moves,
               std::function<void()> trust_changed = {})
      : writes_(writes),
        fleet_(fleet),
        progress_(progress),
        moves_(moves),
        trust_changed_(std::move(trust_changed)) {}

  grpc::Status CreatePool(grpc::ServerContext* context, const v1::CreatePoolRequest* request,
                          v1::Pool* response) override;
  grpc::Status GetPool(grpc::ServerContext* context, const v1::GetPoolRequest* request,
                       v1::Pool* response) override;
  grpc::Status ListPools(grpc::ServerContext* context, const v1::ListPoolsRequest* request,
                         v1::ListPoolsResponse* response) override;
  grpc::Status UpdatePool(grpc::ServerContext* context, const v1::UpdatePoolRequest* request,
                          v1::Pool* response) override;
  grpc::Status DeletePool(grpc::ServerContext* context, const v1::DeletePoolRequest* request,
                          v1::DeletePoolResponse* response) override;
  grpc::Status CreateHost(grpc::ServerContext* context, const v1::CreateHostRequest* request,
                          v1::Host* response) override;
  grpc::Status GetHost(grpc::ServerContext* context, const v1::GetHostRequest* request,
                       v1::Host* response) override;
  grpc::Status ListHosts(grpc::ServerContext* context, const v1::ListHostsRequest* request,
                         v1::ListHostsResponse* response) override;
  grpc::Status UpdateHost(grpc::ServerContext* context, const v1::UpdateHostRequest* request,
                          v1::Host* response) override;
  grpc::Status DeleteHost(grpc::ServerContext* context, const v1::DeleteHostRequest* request,
                          v1::DeleteHostResponse* response) override;
  grpc::Status DrainHost(grpc::ServerContext* context, const v1::DrainHostRequest* request,
                         v1::Host* response) override;
  grpc::Status UndrainHost(grpc::ServerContext* context, const v1::UndrainHostRequest* request,
                           v1::Host* response) override;
  grpc::Status InspectHost(grpc::ServerContext* context, const v1::InspectHostRequest* request,
                           v1::Host* response) override;
  grpc::Status EvictHost(grpc::ServerContext* context, const v1::EvictHostRequest* request,
                         v1::Host* response) override;
  grpc::Status BanHost(grpc::ServerContext* context, const v1::BanHostRequest* request,
                       v1::Host* response) override;
  grpc::Status MoveMailbox(grpc::ServerContext* context, const v1::MoveMailboxRequest* request,
                           v1::MailboxMove* response) override;
  grpc::Status GetMailboxMove(grpc::ServerContext* context, const v1::GetMailboxMoveRequest* request,
                              v1::MailboxMove* response) override;
  grpc::Status ListMailboxMoves(grpc::ServerContext* context, const v1::ListMailboxMovesRequest* request,
                                v1::ListMailboxMovesResponse* response) override;
  grpc::Status CancelMailboxMove(grpc::ServerContext* context, const v1::CancelMailboxMoveRequest* request,
                                 v1::MailboxMove* response) override;

 private:
  template <typename Request>
  grpc::Status Withdraw(grpc::ServerContext* context, std::string_view method, const Request& request,
                        model::HostState to, v1::Host* response);
  template <typename Request>
  grpc::Status ChangeState(grpc::ServerContext* context, std::string_view method, const Request& request,
                           model::HostState from, model::HostState to, v1::Host* response);

  const WriteCalls& writes_;
  store::FleetRepository& fleet_;
  store::HostProgressRepository& progress_;
  store::MailboxMoveRepository& moves_;
  const std::function<void()> trust_changed_;
};

}  // namespace prov::api
