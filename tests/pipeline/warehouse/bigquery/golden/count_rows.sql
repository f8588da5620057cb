SELECT (SELECT COUNT(*) FROM `project-x.out.sessions`) AS sessions, (SELECT COUNT(*) FROM `project-x.out.persons`) AS persons
