"""Who is out there: advertisements, announcements, reconciliation. protocols/directory."""
