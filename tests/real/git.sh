# In an empty folder: a repository of a few hundred objects and what git does
# with it. Dates and names are fixed, so that the hashes are.
set -e
GIT_AUTHOR_NAME=x GIT_AUTHOR_EMAIL=x@y GIT_AUTHOR_DATE='@1 +0000'
GIT_COMMITTER_NAME=x GIT_COMMITTER_EMAIL=x@y GIT_COMMITTER_DATE='@1 +0000'
GIT_CONFIG_NOSYSTEM=1
export GIT_AUTHOR_NAME GIT_AUTHOR_EMAIL GIT_AUTHOR_DATE
export GIT_COMMITTER_NAME GIT_COMMITTER_EMAIL GIT_COMMITTER_DATE GIT_CONFIG_NOSYSTEM
git init -q -b main one
cd one
for i in 1 2 3 4 5 6 7 8 9 10 11 12; do
	mkdir -p d$((i % 3))
	seq $i 20000 >f$i
	seq $((i * 100)) >d$((i % 3))/g$i
	git add .
	git commit -q -m "commit $i"
done
cd ..
git clone -q --no-local one two
cd two
git checkout -q -b side HEAD~6
seq 7 >side
git add side
git commit -q -m side
git merge -q -m merge main
git gc -q --aggressive --prune=now
git fsck --strict --full --no-progress
git log --format='%H %s' --stat
git blame f1 | tail -n 3
git grep -c 19 HEAD | head
git archive HEAD | sha256sum
