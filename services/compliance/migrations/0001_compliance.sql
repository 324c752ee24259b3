-- One row per asset, kept after removal so that sequences go on. `body` is the classified asset as it was judged, so that new rules
-- or a new posture need not ask anybody. `judged_by` and `judged_with` are digests of the rules and of the source's facts.
create table asset (
    asset text primary key,
    source text not null,
    sequence bigint not null default 0,
    based_on bigint not null default 0,
    discovered bigint not null default 0,
    removed boolean not null default false,
    body bytea,
    scan_id text not null default '',
    results jsonb not null default '{}',
    risk smallint not null default 0,
    digest text not null default '',
    judged_by text not null default '',
    judged_with text not null default '',
    judged_at timestamptz not null
);
alter table asset alter column body set storage external;
create index asset_source on asset (source) where not removed;

-- What the connector last said of a source. `facts` is the digest of what rules and later stages read from it.
create table source (
    source text primary key,
    sequence bigint not null,
    spec text not null,
    posture text not null,
    facts text not null
);

create table violation (
    violation uuid primary key,
    asset text not null,
    source text not null,
    control text not null,
    framework text not null,
    pack text not null,
    title text not null,
    severity text not null,
    rank smallint not null,
    state text not null check (state in ('open', 'waived', 'resolved')),
    message text not null,
    remedy text not null,
    facts jsonb not null,
    columns jsonb not null,
    scan_id text not null,
    mark text not null,
    opened_at timestamptz not null,
    resolved_at timestamptz,
    resolved_reason text not null default '',
    waived_by text not null default '',
    waived_reason text not null default '',
    waived_until timestamptz
);
create index violation_asset on violation (asset);
create index violation_worst on violation (state, rank desc, asset);
create index violation_waived on violation (waived_until) where state = 'waived';

-- Which packs have been said on policy.published.
create table pack (
    name text primary key,
    version text not null,
    digest text not null
);
