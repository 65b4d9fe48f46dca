package text

// Account returns the name of a user, and says so if their account was deleted.
func Account(name string, deleted bool) string {
	if deleted {
		return name + " (deleted)"
	}
	return name
}
