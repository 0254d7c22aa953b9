package pixel

import (
	"bytes"
	"encoding/base64"
	"image"
	"image/color"
	"math/rand/v2"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// pictures draws two small pictures in few colours, so that some pixels are the same, and masks that may reach beyond them.
func pictures(t *rapid.T) (a, b *image.NRGBA, masks []image.Rectangle, tolerance uint8) {
	draw := func(name string) *image.NRGBA {
		p := image.NewNRGBA(image.Rect(0, 0, rapid.IntRange(1, 12).Draw(t, name+" width"), rapid.IntRange(1, 12).Draw(t, name+" height")))
		dice := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, name), 0))
		for i := range p.Pix {
			p.Pix[i] = uint8(100 + 3*dice.IntN(3))
		}
		return p
	}
	a, b = draw("a"), draw("b")
	side := rapid.IntRange(-2, 14)
	for range rapid.IntRange(0, 3).Draw(t, "masks") {
		masks = append(masks, image.Rect(side.Draw(t, "x0"), side.Draw(t, "y0"), side.Draw(t, "x1"), side.Draw(t, "y1")))
	}
	return a, b, masks, rapid.SampledFrom([]uint8{0, 2, 3, 5, 6, 255}).Draw(t, "tolerance")
}

// TestCompareCountsWhatItSays holds Compare against its definition, written in the most obvious way.
func TestCompareCountsWhatItSays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b, masks, tolerance := pictures(t)
		var want Difference
		for y := range 12 {
			for x := range 12 {
				p := image.Pt(x, y)
				hidden := false
				for _, m := range masks {
					hidden = hidden || p.In(m)
				}
				if !p.In(a.Rect) && !p.In(b.Rect) {
					continue
				}
				if hidden {
					want.Masked++
					continue
				}
				want.Compared++
				if !p.In(a.Rect) || !p.In(b.Rect) || furthest(a.NRGBAAt(x, y), b.NRGBAAt(x, y)) > int(tolerance) {
					want.Differing++
					want.Box = want.Box.Union(image.Rect(x, y, x+1, y+1))
				}
			}
		}
		if got := Compare(a, b, masks, tolerance); got != want {
			t.Fatalf("got %+v, want %+v", got, want)
		}
	})
}

func furthest(a, b color.NRGBA) int {
	most := 0
	for _, pair := range [][2]uint8{{a.R, b.R}, {a.G, b.G}, {a.B, b.B}, {a.A, b.A}} {
		most = max(most, int(pair[0])-int(pair[1]), int(pair[1])-int(pair[0]))
	}
	return most
}

func TestCompareLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b, masks, tolerance := pictures(t)
		d := Compare(a, b, masks, tolerance)
		if back := Compare(b, a, masks, tolerance); back != d {
			t.Fatalf("there %+v, back %+v", d, back)
		}
		if self := Compare(a, a, masks, 0); self.Differing != 0 || self.Percent() != 0 {
			t.Fatalf("a picture differs from itself: %+v", self)
		}
		if wider := Compare(a, b, masks, min(tolerance, 254)+1); wider.Differing > d.Differing {
			t.Fatalf("more tolerance finds more: %+v, then %+v", d, wider)
		}
		if more := Compare(a, b, append(masks, d.Box), tolerance); more.Differing != 0 {
			t.Fatalf("all that differs is masked, and yet %+v", more)
		}
		if p := d.Percent(); p < 0 || p > 100 || (p == 0) != (d.Differing == 0) {
			t.Fatalf("%+v are %g %%", d, p)
		}
	})
}

// TestPictureShowsWhatIsCounted: as many red and magenta pixels as differ, and none of them lost when it is shrunk.
func TestPictureShowsWhatIsCounted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b, masks, tolerance := pictures(t)
		d, p := Compare(a, b, masks, tolerance), Picture(a, b, masks, tolerance)
		if got := marks(p); got != d.Differing {
			t.Fatalf("%d marks, %d differ", got, d.Differing)
		}
		if small := half(p); (marks(small) == 0) != (d.Differing == 0) {
			t.Fatalf("%d marks are left of %d", marks(small), d.Differing)
		}
	})
}

func marks(p *image.NRGBA) int {
	n := 0
	for y := range p.Rect.Dy() {
		for x := range p.Rect.Dx() {
			if c := p.NRGBAAt(x, y); c == differsColour || c == loneColour {
				n++
			}
		}
	}
	return n
}

func TestMovedBy(t *testing.T) {
	page := func(at image.Point, size image.Point) *image.NRGBA {
		p := image.NewNRGBA(image.Rectangle{Max: size})
		for y := at.Y; y < at.Y+10; y++ {
			for x := at.X; x < at.X+20; x++ {
				p.SetNRGBA(x, y, color.NRGBA{G: 200, A: 255})
			}
		}
		return p
	}
	wide := image.Pt(100, 100)
	d := Compare(page(image.Pt(10, 10), wide), page(image.Pt(15, 10), wide), nil, 0)
	if want := (Difference{Compared: 10000, Differing: 100, Box: image.Rect(10, 10, 35, 20)}); d != want || d.Percent() != 1 {
		t.Errorf("%+v, want %+v", d, want)
	}
	d = Compare(page(image.Pt(10, 10), wide), page(image.Pt(10, 10), image.Pt(100, 120)), nil, 255)
	if want := (Difference{Compared: 12000, Differing: 2000, Box: image.Rect(0, 100, 100, 120)}); d != want {
		t.Errorf("longer: %+v, want %+v", d, want)
	}
	d = Compare(page(image.Pt(10, 10), wide), page(image.Pt(15, 10), wide), []image.Rectangle{image.Rect(-5, -5, 500, 500)}, 0)
	if d.Compared != 0 || d.Percent() != 0 || d.Left() != 0 {
		t.Errorf("all masked: %+v", d)
	}
}

func TestLeft(t *testing.T) {
	p := image.NewNRGBA(image.Rect(0, 0, 20, 10))
	for covered, want := range map[int]float64{0: 100, 10: 50, 15: 25, 20: 0} {
		mask := image.Rect(-5, -5, covered, 50)
		if got := Compare(p, p, []image.Rectangle{mask, mask}, 0).Left(); got != want {
			t.Errorf("a mask of %d columns of 20 leaves %g %%, want %g %%", covered, got, want)
		}
	}
	if got := (Difference{}).Left(); got != 0 {
		t.Errorf("of no pixels there are %g %% left", got)
	}
}

func TestBlank(t *testing.T) {
	p := image.NewNRGBA(image.Rect(0, 0, 3, 3))
	if !Blank(p) || !Blank(image.NewNRGBA(image.Rectangle{})) {
		t.Error("a picture of one colour is blank")
	}
	p.SetNRGBA(2, 2, color.NRGBA{A: 1})
	if Blank(p) {
		t.Error("a dot is not blank")
	}
}

func TestInline(t *testing.T) {
	noise := image.NewNRGBA(image.Rect(0, 0, 300, 300))
	dice := rand.New(rand.NewPCG(1, 2))
	for i := range noise.Pix {
		noise.Pix[i] = uint8(dice.Uint32()) | 3
	}
	box := image.Rect(100, 100, 200, 200)
	for _, limit := range []int{1 << 20, 64 << 10, 16 << 10, 1 << 10, 10} {
		uri, shrunk, err := Inline(noise, box, limit)
		if err != nil || len(uri) > limit || (uri == "") != (limit == 10) {
			t.Fatalf("limit %d: %d bytes, %v", limit, len(uri), err)
		}
		if uri == "" {
			continue
		}
		data, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(uri, "data:image/png;base64,"))
		if err != nil {
			t.Fatal(err)
		}
		p, err := Decode(data)
		if err != nil || p.Rect.Dx() != (132+shrunk-1)/shrunk {
			t.Errorf("limit %d: %v, shrunk by %d, %v", limit, p.Rect, shrunk, err)
		}
	}
}

func TestDecode(t *testing.T) {
	opaque := image.NewRGBA(image.Rect(0, 0, 2, 2))
	opaque.Set(1, 1, color.RGBA{R: 9, G: 8, B: 7, A: 255})
	data, err := PNG(opaque)
	if err != nil {
		t.Fatal(err)
	}
	p, err := Decode(data)
	if err != nil || p.NRGBAAt(1, 1) != (color.NRGBA{R: 9, G: 8, B: 7, A: 255}) {
		t.Errorf("%v, %v", p, err)
	}
	if _, err := Decode(bytes.Repeat([]byte("x"), 9)); err == nil {
		t.Error("decoded what is no picture")
	}
}

// TestHalfDoesNotTakeTheCornerForAMark: one picture is wider, the other higher, and what neither has was once kept before
// what one of them has.
func TestHalfDoesNotTakeTheCornerForAMark(t *testing.T) {
	a, b := image.NewNRGBA(image.Rect(0, 0, 2, 1)), image.NewNRGBA(image.Rect(0, 0, 1, 2))
	p := Picture(a, b, []image.Rectangle{image.Rect(0, 0, 1, 1)}, 0)
	if marks(p) != 2 || marks(half(p)) != 1 {
		t.Errorf("%d marks, %d when it is shrunk", marks(p), marks(half(p)))
	}
	mirrored := image.NewNRGBA(p.Rect)
	for y := range 2 {
		for x := range 2 {
			mirrored.SetNRGBA(1-x, 1-y, p.NRGBAAt(x, y))
		}
	}
	if marks(half(mirrored)) != 1 {
		t.Error("the mark is lost where the corner comes first")
	}
}
