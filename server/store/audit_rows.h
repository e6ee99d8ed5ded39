// Audit records as rows.
#pragma once

#include <pqxx/result>
#include <string>
#include <vector>

#include "server/store/audit_chain.h"

namespace prov::store {

// Two parts of a WITH: inserts chained records and moves the head. $1 to $14: AppendParameters. The head must
// be locked, and the records must follow from it. Arrays, for PostgreSQL reads them in half the time of JSON.
inline constexpr char kAppendAudit[] = R"(
headed AS (UPDATE prov.audit_head SET id = $1::bigint, hash = decode($2, 'hex')),
audited AS (
  INSERT INTO prov.audit (id, time, caller, peer, method, resource, request_id, revision, code, before, after, hash)
  SELECT a.id, timestamptz 'epoch' + a.time * interval '1 microsecond', a.caller, a.peer, a.method, a.resource,
    a.request_id, a.revision, a.code, a.before, a.after, decode(a.hash, 'hex')
  FROM unnest($3::bigint[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::bigint[],
    $11::integer[], $12::text[], $13::text[], $14::text[])
    AS a(id, time, caller, peer, method, resource, request_id, revision, code, before, after, hash)
))";
std::vector<std::string> AppendParameters(const AuditHead& head, const std::vector<AuditRecord>& records);

// For AuditRecordOf.
inline constexpr char kAuditColumns[] =
    "SELECT id, (date_part('epoch', time) * 1e6)::bigint AS time_us, caller, peer, method, resource, "
    "request_id, "
    "revision, code, before, after, hash FROM prov.audit ";
AuditRecord AuditRecordOf(const pqxx::row& row);

}  // namespace prov::store
