-- Sources as the newest event told them, and the cloud resource that holds each. A source counts as there while it has assets.
create table source (
    key text primary key,
    target text not null,
    spec jsonb not null,
    said_at timestamptz not null
);
create index source_target on source (target) where target <> '';

-- The tags of one asset. A removed asset keeps its row, so that its numbers go on.
create table asset (
    target text primary key,
    asset text not null,
    source text not null,
    sequence bigint not null,
    based_on bigint not null,
    scan_id text not null,
    digest text not null,
    tags jsonb not null,
    conflicts jsonb not null,
    facts jsonb not null,
    removed boolean not null,
    said_at timestamptz not null
);
create index asset_of_scan on asset (source, scan_id);

-- The tags that one cloud resource must carry, and what became of them there.
create table resource (
    target text primary key,
    resource text not null,
    provider text not null,
    tenant text not null,
    source text not null,
    cloud jsonb not null,
    sequence bigint not null,
    digest text not null,
    tags jsonb not null,
    conflicts jsonb not null,
    mapping jsonb not null, -- the key on the resource -> our key and value
    intent jsonb not null, -- what is being written, kept until the result is known
    written jsonb not null default '{}', -- our keys as last seen on the resource
    outcome text not null default 'pending',
    code text not null default '',
    cause text not null default '',
    remedy text not null default '',
    kept integer not null default 0,
    held text[] not null default '{}', -- keys that others hold
    left_out text[] not null default '{}', -- keys without room
    scan_id text not null default '',
    attempts integer not null default 0,
    gone boolean not null default false,
    changed_at timestamptz not null,
    applied_at timestamptz
);

-- Reasons to apply: a completed scan, which waits until its assets are derived, or an ask. Gone once applied.
create table reason (
    number bigint generated always as identity primary key,
    source text not null,
    target text not null, -- empty: the source's own resource at that time
    scan_id text not null,
    expected integer not null,
    due boolean not null,
    deadline timestamptz,
    cause_id text not null,
    traceparent text not null,
    tenant text not null
);
create index reason_source on reason (source);
