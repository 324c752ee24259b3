-- Jobs that share something, such as a tenant or a host, take turns: what a job shares, and when each share was served last.
alter table job add shares text[] not null default '{}';
create table job_turn (
    kind text not null,
    share text not null,
    served_at timestamptz not null,
    primary key (kind, share)
);
