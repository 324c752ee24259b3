-- Each source as registered, and what was last said of it. `said` and `health` are digests: only a change is said again.
create table source (
    key text primary key,
    version integer not null,
    spec text not null,
    tenant text not null,
    traceparent text not null,
    cause text not null,
    sequence bigint not null default 0,
    state text not null default 'new' check (state in ('new', 'connected', 'unreachable', 'removed')),
    dialled_version integer not null default 0,
    said text not null default '',
    code text not null default '',
    attempts integer not null default 0,
    health text not null default '',
    checks integer not null default 0,
    failures integer not null default 0,
    latencies double precision[] not null default '{}',
    checked_at timestamptz,
    next_check_at timestamptz,
    changed_at timestamptz not null
);
create index source_due on source (next_check_at) where state <> 'removed';
