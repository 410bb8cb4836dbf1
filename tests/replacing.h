// The counters of tests/replacing.cc.
#ifndef TESTS_REPLACING_H
#define TESTS_REPLACING_H

extern long live, taken;	// blocks of the replaced operators
extern bool starve;		// simulates a lack of memory

// Creates and destroys objects where the operators are replaced, single ones and an array.
void use_there();

#endif
