// Audit records as rows.
#pragma once

#include <pqxx/result>
#include <string>
#include <vector>

#include "server/store/audit_chain.h"

namespace prov::store {

// Two parts of a WITH: inserts chained records and moves the head. $1: AuditJson; $2 and $3: the head's id
// and its hash in hexadecimal. The head must be locked, and the records must follow from it.
inline constexpr char kAppendAudit[] = R"(
headed AS (UPDATE prov.audit_head SET id = $2, hash = decode($3, 'hex')),
audited AS (
  INSERT INTO prov.audit (id, time, caller, peer, method, resource, request_id, revision, code, before, after, hash)
  SELECT a.id, timestamptz 'epoch' + a.time * interval '1 microsecond', a.caller, a.peer, a.method, a.resource,
    a.request_id, a.revision, a.code, a.before, a.after, decode(a.hash, 'hex')
  FROM jsonb_to_recordset($1::jsonb) AS a(id bigint, time bigint, caller text, peer text, method text, resource text,
    request_id text, revision bigint, code integer, before text, after text, hash text)
))";
std::string AuditJson(const std::vector<AuditRecord>& records);

// For AuditRecordOf.
inline constexpr char kAuditColumns[] =
    "SELECT id, (extract(epoch FROM time) * 1e6)::bigint AS time_us, caller, peer, method, resource, "
    "request_id, "
    "revision, code, before, after, hash FROM prov.audit ";
AuditRecord AuditRecordOf(const pqxx::row& row);

}  // namespace prov::store
