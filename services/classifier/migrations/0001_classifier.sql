-- One row per asset, kept after removal so that sequences go on. `body` is the schema.discovered as it was heard (deflated), so that
-- new rules or a review need not ask anybody. `classes`: column to class as last said; `said`: digest of what was said;
-- `uncertain`: the verdicts a person should look at; `targets`: columns that its foreign keys point to.
create table asset (
    asset text primary key,
    source text not null,
    sequence bigint not null default 0,
    discovered bigint not null default 0,
    removed boolean not null default false,
    body bytea,
    classes jsonb not null default '{}',
    uncertain jsonb,
    targets text[] not null default '{}',
    said text not null default '',
    judged_by text not null default '',
    heard_at timestamptz not null,
    judged_at timestamptz not null
);
alter table asset alter column body set storage external;
create index asset_source on asset (source) where not removed;
create index asset_targets on asset using gin (targets) where not removed;
create index asset_uncertain on asset (source, asset) where uncertain is not null;
create index asset_judged_by on asset (judged_by, asset) where not removed;

-- What a person decided on a column, and the evidence that was there then.
create table review (
    asset text not null,
    "column" text not null,
    decision text not null,
    class_name text not null,
    reviewer text not null,
    evidence text not null,
    reviewed_at timestamptz not null,
    primary key (asset, "column")
);

-- The rule set that was said last.
create table ruleset (
    name text primary key,
    version text not null,
    digest text not null
);
