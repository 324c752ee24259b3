-- Sources with a primary and a warm secondary: which one is active, how both did lately, and which process watches them.
-- `active` is the secondary's address while it is the active one. `looks` is for people.
create table endpoints (
    key text primary key,
    active text not null default '',
    state text not null default 'primary',
    cause text not null default '',
    looks text not null default '{}',
    wanted text not null default '' check (wanted in ('', 'primary', 'secondary')),
    watcher text not null default '',
    watched_until timestamptz,
    changed_at timestamptz not null default now(),
    seen_at timestamptz
);
