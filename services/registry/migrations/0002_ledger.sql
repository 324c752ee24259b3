-- The trace in which an act happened; older entries have none, and their hashes are as they were.
alter table ledger add column trace_id text not null default '';

-- What is written stays as it was written. Whoever may drop this trigger may do more; `pursight audit verify` shows what they did.
create function ledger_stays() returns trigger language plpgsql as $$
begin
    raise exception 'the ledger is append-only' using errcode = 'insufficient_privilege';
end
$$;
create trigger ledger_stays before update or delete or truncate on ledger for each statement execute function ledger_stays();
