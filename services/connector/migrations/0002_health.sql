-- How each source did, hour by hour; what the last full look found; the circuit that all workers share.
create table health_hour (
    key text not null,
    hour timestamptz not null,
    checks integer not null default 0,
    failures integer not null default 0,
    seconds double precision not null default 0,
    bytes bigint,
    primary key (key, hour)
);
alter table source
    add column circuit text not null default 'closed' check (circuit in ('closed', 'open', 'half_open')),
    add column retries double precision not null default 10,
    add column retries_at double precision not null default 0,
    add column open_until double precision not null default 0,
    add column probed_at timestamptz,
    add column facts text not null default '{}',
    add column health_said text not null default '';
