-- What this service has already done. `mark` is a digest of topic and event id.
create table inbox (
    mark bytea primary key,
    topic text not null,
    seen_at timestamptz not null default now()
);
create index inbox_seen on inbox using brin (seen_at);

-- What this service has said but Kafka has not acknowledged yet. `part` splits the work between relays by hash of the key.
create table outbox (
    id bigint generated always as identity primary key,
    part smallint not null,
    topic text not null,
    key bytea,
    body bytea,
    headers bytea not null,
    parent text not null default '',
    created_at timestamptz not null default clock_timestamp()
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);
alter table outbox alter column body set storage external;

-- Records put aside. `record` holds key, headers and body as they came; of request topics it is sealed.
create table dead_letter (
    id text primary key,
    group_name text not null,
    topic text not null,
    partition integer not null,
    "offset" bigint not null,
    key_mark bytea not null,
    shown_key text not null default '',
    event_id text not null,
    record bytea not null,
    sealed boolean not null,
    size integer not null,
    error_code text not null,
    why text not null,
    attempts integer not null default 1,
    parks boolean not null default false,
    state text not null default 'open' check (state in ('open', 'replaying')),
    trace text not null default '',
    tenant text not null default '',
    created_at timestamptz not null default now(),
    changed_at timestamptz not null default now()
);
create index dead_letter_parked on dead_letter (topic, key_mark) where parks;
create index dead_letter_time on dead_letter (created_at);

-- Long work. `fence` grows with each claim; a write with an older one is refused.
create table job (
    id bigint generated always as identity primary key,
    kind text not null,
    key text not null,
    payload text not null,
    cursor text not null default '',
    priority integer not null default 0,
    state text not null default 'waiting' check (state in ('waiting', 'running', 'done', 'failed')),
    fence bigint not null default 0,
    attempts integer not null default 0,
    run_after timestamptz not null default now(),
    lease_until timestamptz,
    worker text not null default '',
    error_code text not null default '',
    trace text not null default '',
    created_at timestamptz not null default now(),
    changed_at timestamptz not null default now()
);
create unique index job_once on job (kind, key) where state = 'waiting';
create index job_running on job (kind, key) where state = 'running';
create index job_due on job (kind, priority desc, run_after, id) where state in ('waiting', 'running');
