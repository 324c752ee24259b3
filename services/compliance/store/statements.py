"""The statements that change state. Each does a whole batch; the columns come as arrays of equal length."""

SAVE_ASSETS = """
insert into asset (asset, source, sequence, based_on, discovered, removed, body, scan_id, results, risk, digest, judged_by, judged_with,
    judged_at)
select asset, source, sequence, based_on, discovered, false, body, scan_id, results, risk, digest, judged_by, judged_with, $13
from unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bytea[], $7::text[], $8::jsonb[], $9::smallint[],
    $10::text[], $11::text[], $12::text[])
    as said(asset, source, sequence, based_on, discovered, body, scan_id, results, risk, digest, judged_by, judged_with)
on conflict (asset) do update set sequence = excluded.sequence, based_on = excluded.based_on, discovered = excluded.discovered,
    removed = false, body = excluded.body, scan_id = excluded.scan_id, results = excluded.results, risk = excluded.risk,
    digest = excluded.digest, judged_by = excluded.judged_by, judged_with = excluded.judged_with, judged_at = excluded.judged_at"""

REMOVE_ASSETS = """
insert into asset (asset, source, discovered, removed, judged_at)
select asset, source, discovered, true, $4 from unnest($1::text[], $2::text[], $3::bigint[]) as gone(asset, source, discovered)
on conflict (asset) do update set removed = true, body = null, results = '{}', risk = 0, digest = '',
    discovered = greatest(asset.discovered, excluded.discovered), judged_at = excluded.judged_at"""

SAVE_VIOLATIONS = """
insert into violation (violation, asset, source, control, framework, pack, title, severity, rank, state, message, remedy, facts, columns,
    scan_id, mark, opened_at)
select violation, asset, source, control, framework, split_part(control, ':', 1), title, severity, rank, state, message, remedy, facts,
    columns, scan_id, mark, $16
from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::smallint[], $9::text[], $10::text[],
    $11::text[], $12::jsonb[], $13::jsonb[], $14::text[], $15::text[])
    as said(violation, asset, source, control, framework, title, severity, rank, state, message, remedy, facts, columns, scan_id, mark)
on conflict (violation) do update set title = excluded.title, severity = excluded.severity, rank = excluded.rank, state = excluded.state,
    message = excluded.message, remedy = excluded.remedy, facts = excluded.facts, columns = excluded.columns, scan_id = excluded.scan_id,
    mark = excluded.mark, opened_at = case when violation.state = 'resolved' then excluded.opened_at else violation.opened_at end,
    resolved_at = null, resolved_reason = ''"""

RESOLVE_VIOLATIONS = """
update violation set state = 'resolved', resolved_at = $3, resolved_reason = over.reason
from unnest($1::uuid[], $2::text[]) as over(violation, reason) where violation.violation = over.violation"""

WAIVE = """
update violation set waived_by = $2, waived_reason = $3, waived_until = $4 where violation = $1 and state <> 'resolved'
returning asset, control"""

UNWAIVE = """
update violation set waived_by = '', waived_reason = '', waived_until = null where violation = $1 and waived_until > $2
returning asset, control"""

SAVE_SOURCES = """
insert into source (source, sequence, spec, posture, facts)
select * from unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::text[])
on conflict (source) do update set sequence = excluded.sequence, spec = excluded.spec, posture = excluded.posture, facts = excluded.facts"""

STALE = """
select asset.asset from asset left join source using (source)
where not removed and asset.asset > $3 and ($2 = '' or asset.source = $2)
    and (judged_by <> $1 or judged_with <> coalesce(source.facts, judged_with))
order by asset.asset limit $4"""

OVERDUE = """
select distinct asset from violation where state = 'waived' and waived_until <= $1 limit 1000"""

STANDING = """
select asset, control, state, waived_until, mark from violation
where asset = any($1::text[]) and (state <> 'resolved' or waived_until > $2)"""

STALE_SOURCES = """
select distinct source from asset join source using (source)
where not removed and judged_with <> facts and source = any($1::text[])"""

SAVE_PACK = """
insert into pack (name, version, digest) values ($1, $2, $3)
on conflict (name) do update set version = excluded.version, digest = excluded.digest"""
