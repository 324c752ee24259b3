-- The circuit of each source, shared by every process that dials it. Times are seconds since 1970 by this server's clock.
create table circuit (
    key text primary key,
    state text not null default 'closed' check (state in ('closed', 'open', 'half_open')),
    failures integer not null default 0,
    retries double precision not null default 10,
    at double precision not null default 0,
    until double precision not null default 0,
    code text not null default ''
);
