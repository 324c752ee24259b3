-- The resources that jobs name; what of it carries no tags is kept with the reason. `sequence` numbers what is said of a job,
-- `facts` are what scans found in the assets that its contract describes.
alter table job_config
    add column sequence bigint not null default 0,
    add column facts jsonb not null default '[]',
    add column skipped jsonb not null default '[]';
create table job_resource (
    job text not null,
    target text not null,
    resource text not null,
    provider text not null,
    tenant text not null,
    primary key (job, target)
);
create index job_resource_target on job_resource (target);

-- `seen`: what somebody else set our keys to, and how often; `drifted`: those that were left so.
alter table resource
    add column seen jsonb not null default '{}',
    add column drifted text[] not null default '{}';

-- `kind`: asked by a person, or a look for drift; else something changed.
alter table reason add column kind text not null default '';
