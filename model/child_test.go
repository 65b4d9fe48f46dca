package model

func childMain() bool { return false }
