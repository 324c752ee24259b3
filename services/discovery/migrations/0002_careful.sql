-- `missed_by`: the complete scan that first did not see this asset, while nobody has confirmed yet that it is gone.
-- `warmth` counts this asset's changes, older ones for less; it is of the time `warm_at`.
alter table asset
    add missed_by text not null default '',
    add warmth real not null default 0,
    add warm_at timestamptz not null default now();

-- A scan that a person paused waits until a person resumes it.
alter table scan drop constraint scan_state_check;
alter table scan add constraint scan_state_check check (state in ('waiting', 'running', 'paused', 'completed', 'failed', 'cancelled'));
