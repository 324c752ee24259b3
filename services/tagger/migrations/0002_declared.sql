-- Data contracts as they were published and in valid ODCS. `names`: what their objects are called, in lower case.
create table data_contract (
    key text primary key,
    tenant text not null,
    document jsonb not null,
    contract jsonb not null,
    origins jsonb not null,
    added text[] not null,
    names text[] not null,
    origin text not null,
    said_at timestamptz not null
);
create index data_contract_names on data_contract using gin (names);

-- Jobs as they were submitted, and the tags of everything that they run on.
create table job_config (
    key text primary key,
    tenant text not null,
    document jsonb not null,
    origin text not null,
    digest text not null,
    tags jsonb not null,
    conflicts jsonb not null,
    said_at timestamptz not null
);

-- What classes an asset's columns hold, what its contract is, and what the data shows beyond it.
alter table asset
    add column classes jsonb not null default '[]',
    add column contract text not null default '',
    add column findings jsonb not null default '[]',
    add column compared bigint not null default 0;
