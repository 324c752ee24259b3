-- How many values a scan looked at stands in its own row, too.
alter table asset drop column sampled_values;
alter table scan add column sampled_values bigint not null default 0;
