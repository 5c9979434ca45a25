tenants public.orgs, key id uuid, row: redact
key agents_manager_id_fkey: public.agents.manager_id references public.agents.id on delete set null
key agents_org_id_fkey: public.agents.org_id references public.orgs.id
key audit_log_agent_id_fkey: public.audit_log.agent_id references public.agents.id
key audit_log_org_id_fkey: public.audit_log.org_id references public.orgs.id
key comments_reply_to_fkey: public.comments.reply_to references public.comments.id on delete cascade
key comments_ticket_id_fkey: public.comments.ticket_id references public.tickets.id on delete cascade
key folders_org_id_fkey: public.folders.org_id references public.orgs.id
key folders_parent_id_fkey: public.folders.parent_id references public.folders.id
key invoice_lines_invoice_id_fkey: public.invoice_lines.invoice_id references public.invoices.id
key invoices_agent_id_fkey: public.invoices.agent_id references public.agents.id
key invoices_org_id_fkey: public.invoices.org_id references public.orgs.id
key memberships_org_id_fkey: public.memberships.org_id references public.orgs.id on delete cascade
key orgs_owner_id_fkey: public.orgs.owner_id references public.agents.id
key tags_org_id_fkey: public.tags.org_id references public.orgs.id
key ticket_tags_tag_id_fkey: public.ticket_tags.tag_id references public.tags.id
key ticket_tags_ticket_id_fkey: public.ticket_tags.ticket_id references public.tickets.id
key tickets_agent_id_fkey: public.tickets.agent_id references public.agents.id on delete set null
key tickets_folder_id_fkey: public.tickets.folder_id references public.folders.id
key tickets_org_id_fkey: public.tickets.org_id references public.orgs.id
leftovers: delete
owner public.agents: public.agents.org_id is the tenant's key
owner public.attachments: public.attachments.record_id -> public.comments.ticket_id -> public.tickets.org_id is the tenant's key where record_type = 'Comment'
owner public.attachments: public.attachments.record_id -> public.tickets.org_id is the tenant's key where record_type = 'Ticket'
owner public.audit_log: public.audit_log.org_id is the tenant's key
owner public.comments: public.comments.ticket_id references public.tickets.id on delete cascade
owner public.folders: public.folders.org_id references public.orgs.id
owner public.invoice_lines: public.invoice_lines.invoice_id references public.invoices.id
owner public.invoices: public.invoices.org_id references public.orgs.id
owner public.jobs: public.jobs where (args->>'org_id') is the tenant's key
owner public.memberships: public.memberships.org_id references public.orgs.id on delete cascade
owner public.tags: public.tags.org_id references public.orgs.id
owner public.ticket_tags: public.ticket_tags.tag_id references public.tags.id
owner public.ticket_tags: public.ticket_tags.ticket_id references public.tickets.id
owner public.tickets: public.tickets.org_id references public.orgs.id
set public.agents.name = 'erased'::text
set public.audit_log.actor = 'erased'::text
set public.audit_log.ip = NULL::text
set public.orgs.name = 'erased'::text
table public.agents: redact
table public.attachments: delete
table public.audit_log: redact
table public.comments: delete
table public.folders: delete
table public.invoice_lines: keep for forever (tax law)
table public.invoices: keep for 10y from issued_at on (tax law)
table public.jobs: delete
table public.memberships: delete
table public.people: global
table public.plans: global
table public.tags: delete
table public.ticket_tags: delete
table public.tickets: delete
when closed_at < now()
