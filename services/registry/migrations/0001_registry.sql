create table source (
    key text primary key,
    tenant text not null,
    name text not null,
    version integer not null,
    spec jsonb not null,
    notes text[] not null default '{}',
    removed boolean not null default false,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    next_scan_at timestamptz
);
create index source_due on source (next_scan_at) where not removed and next_scan_at is not null;

create table source_version (
    key text not null,
    version integer not null,
    spec jsonb not null,
    changed_fields text[] not null,
    actor text not null,
    at timestamptz not null,
    primary key (key, version)
);

create table ledger (
    tenant text not null,
    number bigint not null,
    at text not null,
    event_id text not null unique,
    body jsonb not null,
    hash text not null,
    primary key (tenant, number)
);
