/* What starting a program costs, and nothing else. */
int main(void)
{
	return 0;
}
