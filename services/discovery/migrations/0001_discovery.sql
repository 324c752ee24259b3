-- What the connector last said of each source. `removed_version`: what was registered up to there is gone.
create table source (
    key text primary key,
    version integer not null,
    sequence bigint not null,
    connected text not null,
    removed_version integer not null default 0,
    changed_at timestamptz not null
);

-- Each scan that was asked for, until its manifest was said.
create table scan (
    id text primary key,
    source text not null,
    state text not null default 'waiting' check (state in ('waiting', 'running', 'completed', 'failed', 'cancelled')),
    mode text not null,
    priority text not null,
    scope text not null,
    reason text not null,
    tenant text not null,
    traceparent text not null,
    after text not null,
    tries integer not null default 0,
    tables integer,
    looked integer not null default 0,
    changed integer not null default 0,
    code text not null default '',
    report text not null default '',
    asked_at timestamptz not null,
    started_at timestamptz,
    ended_at timestamptz
);
create index scan_of_source on scan (source, asked_at);
create index scan_open on scan (source) where state in ('waiting', 'running');

-- The assets as last said. `sequence` is never reset, so rows stay after removal. `said_by` and `looked_by` are scan ids.
create table asset (
    key text primary key,
    source text not null,
    schema_name text not null,
    table_name text not null,
    sequence bigint not null,
    gone boolean not null default false,
    mark bigint not null,
    pages bigint not null,
    fingerprint text not null,
    evidence text not null,
    outline text not null,
    looked_by text not null,
    said_by text not null,
    sampled boolean not null,
    columns integer not null,
    text_columns integer not null,
    text_columns_with_evidence integer not null,
    sampled_values bigint not null,
    left_out text not null default ''
);
create index asset_of_source on asset (source) where not gone;

-- Sources that were removed and whose assets are still to be said gone.
create table draining (
    source text primary key,
    id text not null,
    tenant text not null,
    traceparent text not null
);
